//! Money: integer minor units with a currency, never a float.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A currency by its ISO 4217 numeric code.
///
/// The number is what travels; [`Currency::CODES`] names the ones this SDK can print. An unlisted code
/// is carried faithfully, so that an old machine does not drop a message about a new currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Currency(u16);

impl TryFrom<u16> for Currency {
    type Error = MoneyError;

    fn try_from(number: u16) -> Result<Self, MoneyError> {
        Self::new(number)
    }
}

impl From<Currency> for u16 {
    fn from(currency: Currency) -> Self {
        currency.0
    }
}

impl Currency {
    /// Renminbi; minor unit: fen (1/100 yuan).
    pub const CNY: Self = Self(156);
    /// Euro; minor unit: cent.
    pub const EUR: Self = Self(978);
    /// US dollar; minor unit: cent.
    pub const USD: Self = Self(840);
    /// Japanese yen; it has no minor unit.
    pub const JPY: Self = Self(392);

    /// Known currencies: numeric code, letters, decimals of the minor unit (ISO 4217).
    pub const CODES: &'static [(u16, &'static str, u8)] =
        &[(156, "CNY", 2), (978, "EUR", 2), (840, "USD", 2), (392, "JPY", 0)];

    /// A currency by ISO 4217 number, 1 to 999.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] for a number outside that range.
    pub const fn new(number: u16) -> Result<Self, MoneyError> {
        if number >= 1 && number <= 999 { Ok(Self(number)) } else { Err(MoneyError::Currency) }
    }

    /// A known currency by its three letters.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] when it is not in [`Currency::CODES`].
    pub fn from_code(code: &str) -> Result<Self, MoneyError> {
        Self::CODES
            .iter()
            .find(|known| known.1 == code)
            .map(|known| Self(known.0))
            .ok_or(MoneyError::Currency)
    }

    /// The ISO 4217 number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The three letters, when known.
    pub fn code(self) -> Option<&'static str> {
        Self::CODES.iter().find(|known| known.0 == self.0).map(|known| known.1)
    }

    /// Decimals of the minor unit; 2 for a currency this SDK does not know.
    pub fn decimals(self) -> u8 {
        Self::CODES.iter().find(|known| known.0 == self.0).map_or(2, |known| known.2)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => f.write_str(code),
            None => write!(f, "{:03}", self.0),
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount of money that is not negative: a price, a payment, a refund.
///
/// ```
/// use vend_protocol::{Currency, Money};
/// let price = Money::new(350, Currency::CNY);
/// assert_eq!(price.to_string(), "3.50 CNY");
/// assert_eq!(price.checked_add(Money::new(50, Currency::CNY)).unwrap().minor(), 400);
/// assert!(price.checked_add(Money::new(50, Currency::USD)).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: u32,
    currency: Currency,
}

impl Money {
    /// `minor` units (fen, cents) of `currency`.
    pub const fn new(minor: u32, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// No money, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Minor units.
    pub const fn minor(self) -> u32 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] for two currencies, [`MoneyError::Overflow`] past `u32::MAX` minor units.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed);
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] for two currencies, [`MoneyError::Overflow`] when `other` is the larger one.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed);
        }
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Reads a decimal amount as a person or a wallet writes it: `3.5`, `3.50`, `12`.
    ///
    /// # Errors
    /// [`MoneyError::Amount`] for anything else: a sign, more decimals than the currency has, an empty
    /// part, another character; [`MoneyError::Overflow`] past `u32::MAX` minor units.
    ///
    /// ```
    /// use vend_protocol::{Currency, Money};
    /// assert_eq!(Money::parse_decimal("3.5", Currency::CNY).unwrap().minor(), 350);
    /// assert!(Money::parse_decimal("3.505", Currency::CNY).is_err());
    /// assert!(Money::parse_decimal("-1", Currency::CNY).is_err());
    /// ```
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Amount),
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let decimals = usize::from(currency.decimals());
        if whole.is_empty() || fraction.len() > decimals {
            return Err(MoneyError::Amount);
        }
        let zeros = core::iter::repeat_n(b'0', decimals - fraction.len());
        let mut minor: u32 = 0;
        for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
            if !digit.is_ascii_digit() {
                return Err(MoneyError::Amount);
            }
            let digit = u32::from(digit - b'0');
            minor = minor.checked_mul(10).and_then(|m| m.checked_add(digit)).ok_or(MoneyError::Overflow)?;
        }
        Ok(Self { minor, currency })
    }

    /// The amount alone, in major units: `3.50`. [`fmt::Display`] adds the currency.
    pub fn decimal(self) -> Decimal {
        Decimal(self)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prints the amount of a [`Money`] in major units, without its currency.
#[derive(Clone, Copy, Debug)]
pub struct Decimal(Money);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.0.currency.decimals();
        if decimals == 0 {
            return write!(f, "{}", self.0.minor);
        }
        let unit = 10u32.saturating_pow(u32::from(decimals));
        let width = usize::from(decimals);
        write!(f, "{}.{:0width$}", self.0.minor / unit, self.0.minor % unit)
    }
}

/// Why a piece of money could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not a currency number or code.
    #[error("not a known currency")]
    Currency,
    /// Two amounts of different currencies.
    #[error("amounts of different currencies")]
    Mixed,
    /// Below zero or past the largest amount.
    #[error("amount out of range")]
    Overflow,
    /// Not a decimal amount of this currency.
    #[error("not an amount")]
    Amount,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn decimals_print_and_parse_back() {
        for minor in [0, 1, 9, 10, 99, 100, 350, 123_456, u32::MAX] {
            for currency in [Currency::CNY, Currency::JPY] {
                let money = Money::new(minor, currency);
                assert_eq!(Money::parse_decimal(&money.decimal().to_string(), currency), Ok(money));
            }
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "+1", "1e2", "1,00", "1.001", "０", " 1", "42949672.96"] {
            assert!(Money::parse_decimal(text, Currency::CNY).is_err(), "{text}");
        }
    }
}
