use super::*;

const PAGE: &str = "\
text
```wire
slot  u16 1..999  a lane

start cases
  0 not_started
    reason  reason
  1 started

reason open u8
  1 expired   too late

pair
  slot  slot
  why   option<reason>

0x02 ready   up
  request  u32
  lines    list<pair, 2>   what is wanted
  start    start
```
";

fn read(page: &str, payload: &[u8]) -> Result<String> {
    let grammar = Grammar::read(page)?;
    let (_, fields) = grammar.messages.get(&2).context("kind 2")?;
    let leaves = decode::payload(&grammar, fields, payload)?;
    let text = |leaf: &Leaf| format!("{}={} ", leaf.name, leaf.value);
    Ok(leaves.iter().map(text).collect::<Vec<_>>().concat())
}

#[test]
fn a_payload_is_read_by_the_page() {
    let text = read(PAGE, &[0x85, 0x01, 2, 7, 0, 0x83, 0x01, 1, 9, 0, 1]).unwrap();
    assert_eq!(text, "request=133 lines=2 slot=7 why=0 slot=131 why=1 why=9 start=0 not_started reason=1 ");
}

#[test]
fn what_the_page_forbids_is_refused() {
    for (payload, why) in [
        (&[0x85, 0x00, 0, 1][..], "longer than need be"),
        (&[5, 3], "at most 2"),
        (&[5, 1, 0, 0, 1], "outside 1 to 999"),
        (&[5, 1, 7, 2, 1], "where 0 or 1 is due"),
        (&[5, 0, 2], "no case 2"),
        (&[5, 0, 1, 0], "behind the last field"),
        (&[5, 0], "cut short"),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0, 1], "does not fit"),
    ] {
        let error = format!("{:#}", read(PAGE, payload).unwrap_err());
        assert!(error.contains(why), "{payload:?}: {error}");
    }
}

#[test]
fn a_page_that_contradicts_itself_is_refused() {
    for (right, wrong) in [
        ("slot  slot", "slot  lane"),
        ("pair\n", "pair   two of them\n"),
        ("  1 started", "  2 started"),
        ("list<pair, 2>", "list<pair>"),
        ("pair\n", "slot\n"),
        ("  request", "   request"),
        ("  1 expired", "  one expired"),
    ] {
        assert!(PAGE.contains(right));
        assert!(Grammar::read(&PAGE.replacen(right, wrong, 1)).is_err(), "{wrong}");
    }
}

#[test]
fn another_field_name_or_number_than_the_files_is_noticed() {
    let grammar = Grammar::read(PAGE).unwrap();
    let (_, fields) = &grammar.messages[&2];
    let vector = |name: &str, value: &str| Vector {
        name: String::from("ready"),
        kind: Some(String::from("0x02")),
        payload: vec![5, 0, 1],
        fields: [(name, "5"), ("lines", "0"), ("start", value)]
            .map(|(name, value)| Leaf { name: name.into(), value: value.into() })
            .into(),
    };
    compare(&grammar, fields, &vector("request", "1 Started")).unwrap();
    assert!(compare(&grammar, fields, &vector("requests", "1 Started")).is_err());
    assert!(compare(&grammar, fields, &vector("request", "1 NotStarted")).is_err());
    let code = |number| {
        BTreeMap::from([(String::from("reason"), BTreeMap::from([(number, String::from("expired"))]))])
    };
    compare_open(&grammar, &code(1)).unwrap();
    assert!(compare_open(&grammar, &code(2)).is_err());
    assert!(compare_open(&grammar, &BTreeMap::new()).is_err());
}
