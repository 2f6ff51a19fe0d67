//! Units as TOML, with what is known of them in comments.

use api::{
    runtime::Origin,
    schedule::{self, Damage},
};
use client::unit_file::{Unwritable, write_registration, write_unit};

use super::{harmless, listing::registered, table::moment};
use crate::failure::Failure;

/// What an export begins with.
pub(crate) const EXPORT_HEADER: &str =
    "# The schedule of an auraed; aer schedule import takes it back.\n";

/// One unit, as `aer enable -f` takes it.
pub(crate) fn unit(registration: &schedule::Registration) -> Result<String, Unwritable> {
    let executable = registration.executable.as_ref().ok_or(Unwritable::Empty)?;
    let unit = write_unit(executable)?;
    let status = comment("status", &registered(registration.status));
    let since = moment(registration.registered_at)
        .map(|moment| comment("registered", &moment))
        .unwrap_or_default();
    Ok(format!("{status}{since}{}{unit}", change(registration)))
}

/// One unit among many, and what is wrong with it, if something is.
pub(crate) fn exported_unit(registration: &schedule::Registration) -> (String, Option<Failure>) {
    match write_registration(registration) {
        Ok(unit) => (format!("\n{}{unit}", change(registration)), None),
        Err(why) => {
            let executable = registration.executable.as_ref();
            let meta = executable.and_then(|executable| executable.meta.as_ref());
            let name = meta.map_or("", |meta| meta.name.as_str());
            let name = if name.is_empty() { "a unit without a name" } else { name };
            let text = format!("\n{}", comment("not exported", &format!("{name}: {why}")));
            let attempt = format!("exporting {name}");
            (text, Some(Failure::Unwritable { attempt, why }))
        }
    }
}

/// Something that cannot be read, told where it would stand and as a failure.
pub(crate) fn exported_damage(damage: &Damage) -> (String, Option<Failure>) {
    let Damage { name, message } = damage.clone();
    let told = if name.is_empty() { message.clone() } else { format!("{name}: {message}") };
    (format!("\n{}", comment("damaged", &told)), Some(Failure::Damaged { name, message }))
}

fn change(registration: &schedule::Registration) -> String {
    let when = moment(registration.changed_at);
    let Origin { door, identity, reason } = registration.changed_by.clone().unwrap_or_default();
    let by = Some(identity).filter(|who| !who.is_empty()).map(|who| format!("by {who}"));
    let through = Some(door).filter(|door| !door.is_empty()).map(|door| format!("through {door}"));
    let parts: Vec<String> = [when, by, through].into_iter().flatten().collect();
    let changed = comment("changed", &parts.join(" "));
    format!("{changed}{}", comment("reason", &reason))
}

/// A comment of TOML, which can carry no control character. Nothing where there is nothing to tell.
fn comment(key: &str, fact: &str) -> String {
    if fact.is_empty() { String::new() } else { format!("# {key}: {}\n", harmless(fact)) }
}

#[cfg(test)]
mod tests {
    use api::{
        meta::{AuraeMeta, Status},
        runtime::Executable,
    };
    use client::unit_file::{read_unit, read_units};
    use proptest::prelude::*;

    use super::*;

    fn registration(identity: &str, reason: &str) -> schedule::Registration {
        schedule::Registration {
            executable: Some(Executable {
                meta: Some(AuraeMeta { name: "a".into(), ..AuraeMeta::default() }),
                command: "true".into(),
                ..Executable::default()
            }),
            status: Status::Standby.into(),
            registered_at: 1_700_000_000_000_000_000,
            changed_at: 1_700_000_001_000_000_000,
            changed_by: Some(Origin {
                door: "grpc".into(),
                identity: identity.into(),
                reason: reason.into(),
            }),
        }
    }

    #[test]
    fn a_unit_tells_who_changed_it_when_and_why() {
        let text = unit(&registration("uid:7 pid:8", "a\nb")).unwrap();
        let wanted = "\
# status: enabled
# registered: 2023-11-14T22:13:20Z
# changed: 2023-11-14T22:13:21Z by uid:7 pid:8 through grpc
# reason: a\\nb
name = \"a\"
command = \"true\"
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_is_not_told_has_no_comment() {
        let bare = schedule::Registration {
            registered_at: 0,
            changed_at: 0,
            changed_by: None,
            ..registration("", "")
        };
        assert_eq!(unit(&bare).unwrap(), "# status: enabled\nname = \"a\"\ncommand = \"true\"\n");
    }

    proptest! {
        #[test]
        fn comments_never_become_more_than_comments(who in any::<String>(), why in any::<String>()) {
            let registration = registration(&who, &why);
            let text = unit(&registration).unwrap();
            prop_assert_eq!(read_unit(text.as_bytes()).ok(), registration.executable.clone());
            let (units, failure) = exported_unit(&registration);
            prop_assert!(failure.is_none());
            let (damage, _) = exported_damage(&Damage { name: who, message: why });
            let units = read_units(format!("{units}{damage}").as_bytes()).unwrap();
            prop_assert_eq!(units.into_iter().next().unwrap().executable, registration.executable);
        }
    }
}
