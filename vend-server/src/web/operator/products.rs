//! The catalogue.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};

use super::super::{
    WebState, assets,
    form::{Params, Segment},
    login::{Operator, OperatorForm},
    page::page,
    problem::Problem,
    views::fleet,
};
use crate::engine::{EditRefused, Login};

/// Products on one page; more are found by searching.
const PAGE: i64 = 500;

#[derive(Template)]
#[template(path = "operator/products.html")]
struct ProductsPage<'a> {
    assets: &'static str,
    login: Login,
    search: &'a str,
    products: Vec<fleet::Product>,
    entered: &'a str,
    refusal: Option<String>,
}

async fn products(
    web: &WebState,
    login: Login,
    search: &str,
    entered: &str,
    refused: Option<EditRefused>,
) -> Result<Response, Problem> {
    let status = match refused {
        None => StatusCode::OK,
        Some(EditRefused::NoProduct) => StatusCode::NOT_FOUND,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let products = fleet::products(web, search, PAGE).await?;
    let refusal = refused.map(|refused| format!("Not saved: {refused}."));
    let assets = assets::VERSION.as_str();
    let page = page(&ProductsPage { assets, login, search, products, entered, refusal })?;
    Ok((status, page).into_response())
}

/// `GET /operator/products?q=`.
pub(in crate::web) async fn list(
    State(web): State<WebState>,
    Operator(login): Operator,
    Params(params): Params,
) -> Result<Response, Problem> {
    products(&web, login, params.one("q"), "", None).await
}

/// `POST /operator/products`: adds one.
pub(in crate::web) async fn add(
    State(web): State<WebState>,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let name = fields.one("name");
    match web.engine.add_product(name).await? {
        Ok(_) => Ok(Redirect::to("/operator/products").into_response()),
        Err(refused) => products(&web, login, "", name, Some(refused)).await,
    }
}

/// `POST /operator/products/{id}`: renames one, in every machine that sells it.
pub(in crate::web) async fn rename(
    State(web): State<WebState>,
    Segment(id): Segment,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let product = super::product(&id).ok_or_else(|| Problem::not_found("product"))?;
    match web.engine.rename_product(product, fields.one("name")).await? {
        Ok(()) => Ok(Redirect::to("/operator/products").into_response()),
        Err(refused) => products(&web, login, "", "", Some(refused)).await,
    }
}
