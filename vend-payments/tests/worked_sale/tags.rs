//! The tags of the golden bodies, which live in a crate without cryptography, are those that this crate signs with.

use std::collections::BTreeSet;

use vend_payments::{firmware::MANIFEST_TAG, signed::Body};
use vend_protocol::signed::{
    AcceptedBody, AmendmentBody, AuthorizationBody, ClaimBody, EnrolmentBody, GrantBody, HelloBody,
    KeyListBody, ReceiptBody, VoidBody,
};

use super::file;

#[test]
fn golden_bodies_have_the_tags_that_are_signed() {
    let tags = [
        ("hello", HelloBody::TAG),
        ("accepted", AcceptedBody::TAG),
        ("authorization", AuthorizationBody::TAG),
        ("void", VoidBody::TAG),
        ("receipt", ReceiptBody::TAG),
        ("amendment", AmendmentBody::TAG),
        ("grant", GrantBody::TAG),
        ("manifest", MANIFEST_TAG),
        ("claim", ClaimBody::TAG),
        ("key_list", KeyListBody::TAG),
        ("enrolment", EnrolmentBody::TAG),
    ];
    let mut found = BTreeSet::new();
    for entry in file::read("../../../vend-protocol/tests/vectors/signed_bodies.txt") {
        let name = entry.name.split('.').next().unwrap().to_owned();
        let tag = tags.iter().find(|known| known.0 == name).unwrap_or_else(|| panic!("[{}]", entry.name)).1;
        let mut filled_up = [0; 16];
        filled_up[..entry.text("tag").len()].copy_from_slice(entry.text("tag").as_bytes());
        assert_eq!(&filled_up, tag, "[{}]", entry.name);
        found.insert(name);
    }
    assert_eq!(found.len(), tags.len());
}
