//! Lines that are JSON, for people: level, message, and what else they say.

use serde_json::{Map, Value};

/// What programs call the two.
const LEVELS: [&str; 5] = ["level", "lvl", "severity", "log.level", "PRIORITY"];
const MESSAGES: [&str; 4] = ["message", "msg", "MESSAGE", "event"];
/// The time is the store's; the line's own is left out.
const TIMES: [&str; 5] = ["time", "timestamp", "ts", "@timestamp", "t"];

/// `LEVEL message key=value …`; none where the line is no JSON object with a message.
pub(super) fn readable(line: &str) -> Option<String> {
    if !line.trim_start().starts_with('{') {
        return None;
    }
    let Value::Object(mut said) = serde_json::from_str(line).ok()? else { return None };
    let mut fields = nested(&mut said);
    let level = take(&mut said, &LEVELS).or_else(|| take(&mut fields, &LEVELS));
    let message = take(&mut said, &MESSAGES).or_else(|| take(&mut fields, &MESSAGES))?;
    TIMES.iter().for_each(|time| drop(said.remove(*time)));
    let mut shown = String::new();
    if let Some(level) = level {
        shown.push_str(&word(&level).to_uppercase());
        shown.push(' ');
    }
    shown.push_str(&word(&message));
    for (key, value) in fields.iter().chain(&said) {
        shown.push_str(&format!(" {key}={}", word(value)));
    }
    Some(shown)
}

/// What `tracing` writes has its message one level below.
fn nested(said: &mut Map<String, Value>) -> Map<String, Value> {
    match said.remove("fields") {
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            said.insert("fields".to_owned(), other);
            Map::new()
        }
        None => Map::new(),
    }
}

fn take(said: &mut Map<String, Value>, names: &[&str]) -> Option<Value> {
    names.iter().find_map(|name| said.remove(*name))
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
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
                Some("WARN slow ms=5 target=a"),
            ),
            (r#"{"message":"hi","time":1,"ok":true}"#, Some("hi ok=true")),
            (r#"{"level":"info"}"#, None),
            (r#"{"msg":"#, None),
            (r#"["msg"]"#, None),
            ("plain", None),
        ] {
            assert_eq!(readable(line).as_deref(), wanted, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_shown(line in any::<String>(), near in r#"\{["a-z:,{}\[\]0-9 ]{0,40}\}"#) {
            drop(readable(&line));
            drop(readable(&near));
        }
    }
}
