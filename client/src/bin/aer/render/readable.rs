//! Lines that are JSON, for people: level, message, and what else they say.
//!
//! Invariant: nothing is left out and nothing is changed. Whoever looks for a number at three in the morning finds it as the
//! program wrote it, however many digits it has.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What programs call the two.
const LEVELS: [&str; 5] = ["level", "lvl", "severity", "log.level", "PRIORITY"];
const MESSAGES: [&str; 4] = ["message", "msg", "MESSAGE", "event"];
/// Below this `tracing` has its message.
const FIELDS: &str = "fields";

/// What an object says, in its order; a name may come twice.
struct Said<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Said<'de>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Said(pairs))
            }
        }
        from.deserialize_map(Pairs)
    }
}

/// `LEVEL message key=value …`; none where the line is no JSON object with a message.
pub(super) fn readable(line: &str) -> Option<String> {
    if !line.trim_start().starts_with('{') {
        return None;
    }
    let Said(mut said) = serde_json::from_str(line).ok()?;
    let mut fields = nested(&mut said);
    let level = take(&mut said, &LEVELS).or_else(|| take(&mut fields, &LEVELS));
    let message = take(&mut said, &MESSAGES).or_else(|| take(&mut fields, &MESSAGES))?;
    let mut shown = String::new();
    if let Some(level) = level {
        shown.push_str(&word(level).to_uppercase());
        shown.push(' ');
    }
    shown.push_str(&word(message));
    for (key, value) in fields.iter().chain(&said) {
        shown.push_str(&format!(" {key}={}", word(value)));
    }
    Some(shown)
}

/// What `tracing` says one level below.
fn nested<'a>(said: &mut Vec<(String, &'a RawValue)>) -> Vec<(String, &'a RawValue)> {
    let at = said.iter().position(|(key, _)| key == FIELDS);
    let fields = at.and_then(|at| {
        let Said(fields) = serde_json::from_str(said.get(at)?.1.get()).ok()?;
        said.remove(at);
        Some(fields)
    });
    fields.unwrap_or_default()
}

fn take<'a>(said: &mut Vec<(String, &'a RawValue)>, names: &[&str]) -> Option<&'a RawValue> {
    let find = |name: &&str| said.iter().position(|(key, _)| key == name);
    let at = names.iter().find_map(find)?;
    Some(said.remove(at).1)
}

/// A text without its quotes, and everything else as it stands.
fn word(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_programs_write_is_readable() {
        for (line, wanted) in [
            (r#"{"level":"info","msg":"listening","port":80}"#, Some("INFO listening port=80")),
            (
                r#"{"timestamp":"x","level":"WARN","fields":{"message":"slow","ms":5},"target":"a"}"#,
                Some("WARN slow ms=5 timestamp=x target=a"),
            ),
            (r#"{"message":"hi","time":1,"ok":true,"t":"two"}"#, Some("hi time=1 ok=true t=two")),
            (r#"{"msg":"x","fields":7,"level":30}"#, Some("30 x fields=7")),
            (r#"{"msg":"x","a":1,"a":2}"#, Some("x a=1 a=2")),
            (r#"{"level":"info"}"#, None),
            (r#"{"msg":"#, None),
            (r#"["msg"]"#, None),
            ("plain", None),
        ] {
            assert_eq!(readable(line).as_deref(), wanted, "{line}");
        }
    }

    /// A double has 53 bits, and `1.10` is a price.
    #[test]
    fn numbers_are_as_they_stand() {
        let line = r#"{"msg":"m","id":12345678901234567890123,"price":1.10,"e":1E3,"deep":{"n":0.10000000000000000001}}"#;
        let wanted =
            r#"m id=12345678901234567890123 price=1.10 e=1E3 deep={"n":0.10000000000000000001}"#;
        assert_eq!(readable(line).as_deref(), Some(wanted));
    }

    proptest! {
        #[test]
        fn any_line_is_shown(line in any::<String>(), near in r#"\{["a-z:,{}\[\]0-9 ]{0,40}\}"#) {
            drop(readable(&line));
            drop(readable(&near));
        }

        #[test]
        fn each_pair_is_shown(pairs in proptest::collection::vec(("[a-z]{1,9}", "[1-9][0-9]{0,30}"), 0..9)) {
            let said: Vec<String> =
                pairs.iter().map(|(key, value)| format!("\"_{key}\":{value}")).collect();
            let shown = readable(&format!("{{\"msg\":\"m\",{}\"z\":0}}", said.iter().map(|pair| format!("{pair},")).collect::<String>()));
            let wanted: String = pairs.iter().map(|(key, value)| format!(" _{key}={value}")).collect();
            prop_assert_eq!(shown.unwrap(), format!("m{wanted} z=0"));
        }
    }
}
