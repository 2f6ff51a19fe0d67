//! What became of the schedule as a whole.

use api::schedule::{ImportResponse, RepairResponse};

use super::harmless;

/// What was imported.
pub(crate) fn imported(answer: &ImportResponse) -> String {
    format!("imported: {} enabled, {} disabled\n", answer.enabled, answer.disabled)
}

/// What was kept, what was lost, and where the evidence is.
pub(crate) fn repaired(answer: &RepairResponse) -> String {
    let mut text = if answer.evidence.is_empty() && answer.lost.is_empty() {
        "the schedule is whole; nothing was changed\n".to_owned()
    } else {
        String::new()
    };
    text.push_str(&format!("kept      {}\n", answer.kept));
    for lost in &answer.lost {
        let name = if lost.name.is_empty() { "(the schedule)" } else { &lost.name };
        text.push_str(&format!("lost      {}: {}\n", harmless(name), harmless(&lost.message)));
    }
    if !answer.evidence.is_empty() {
        text.push_str(&format!("evidence  {}\n", harmless(&answer.evidence)));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::schedule::Damage;

    use super::*;

    #[test]
    fn a_repair_says_what_was_kept_what_was_lost_and_where_the_evidence_is() {
        let damage =
            |name: &str, message: &str| Damage { name: name.into(), message: message.into() };
        let answer = RepairResponse {
            evidence: "/var/lib/aurae/schedule.damaged-1".into(),
            kept: 2,
            lost: vec![damage("b", "bad\nrecord"), damage("", "noise")],
        };
        let wanted = "\
kept      2
lost      b: bad\\nrecord
lost      (the schedule): noise
evidence  /var/lib/aurae/schedule.damaged-1
";
        assert_eq!(repaired(&answer), wanted);
    }

    #[test]
    fn of_a_whole_store_nothing_was_changed() {
        let answer = RepairResponse { kept: 3, ..RepairResponse::default() };
        let wanted = "the schedule is whole; nothing was changed\nkept      3\n";
        assert_eq!(repaired(&answer), wanted);
    }
}
