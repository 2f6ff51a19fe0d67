//! Messages in `google.protobuf.Any`, and one generation's messages as another's.

use prost::Message;
use prost_types::Any;

use super::fault::Fault;

/// What every type's address begins with.
const HOST: &str = "type.googleapis.com";

/// A message of this full name.
pub(super) fn pack<M: Message>(name: &str, message: &M) -> Any {
    Any { type_url: format!("{HOST}/{name}"), value: message.encode_to_vec() }
}

/// The message of this full name that is in there.
pub(super) fn unpack<M: Message + Default>(name: &str, data: Option<&Any>) -> Result<M, Fault> {
    let data =
        data.ok_or_else(|| Fault::Form(format!("the request has no data; {name} is expected")))?;
    let found = data.type_url.rsplit('/').next().unwrap_or_default();
    if found != name {
        return Err(Fault::Form(format!(
            "the request's data is of the type {found:?}; {name} is expected"
        )));
    }
    M::decode(data.value.as_slice())
        .map_err(|why| Fault::Form(format!("the request's data cannot be read as {name}: {why}")))
}

/// The same message of another generation. What two generations have in common has the same numbers, and what the other one
/// does not know is left out.
pub(super) fn same<A: Message, B: Message + Default>(message: &A) -> B {
    // Numbers that both have are of the same types, so that it can always be read.
    B::decode(message.encode_to_vec().as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use api::drunc::{first::dune_process_manager as first, fourth, third};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_nothing_else() {
        let uuid = third::ProcessUuid { uuid: "u".to_owned() };
        let mut data = pack("a.Uuid", &uuid);
        assert_eq!(unpack::<third::ProcessUuid>("a.Uuid", Some(&data)).unwrap(), uuid);
        data.type_url = "example.org/x/a.Uuid".to_owned();
        assert_eq!(unpack::<third::ProcessUuid>("a.Uuid", Some(&data)).unwrap(), uuid);
        assert!(unpack::<third::ProcessUuid>("b.Uuid", Some(&data)).is_err());
        assert!(unpack::<third::ProcessUuid>("a.Uuid", None).is_err());
    }

    #[test]
    fn generations_agree_about_what_they_share() {
        let metadata = fourth::ProcessMetadata {
            uuid: Some(fourth::ProcessUuid { uuid: "u".to_owned() }),
            user: "me".to_owned(),
            session: Some("s".to_owned()),
            name: "n".to_owned(),
            hostname: "h".to_owned(),
            tree_id: Some("0.1".to_owned()),
        };
        let older: first::ProcessMetadata = same(&metadata);
        assert_eq!(
            (older.user.as_str(), older.session.as_str(), older.name.as_str()),
            ("me", "s", "n")
        );
        let back: fourth::ProcessMetadata = same(&same::<_, third::ProcessMetadata>(&metadata));
        assert_eq!(back, metadata);
    }

    proptest! {
        #[test]
        fn no_data_hurts(type_url in "(type.googleapis.com/)?[a-z./]{0,9}", value in vec(any::<u8>(), 0..200)) {
            let data = Any { type_url: type_url + "b", value };
            drop(unpack::<third::BootRequest>("b", Some(&data)));
            drop(unpack::<third::LogRequest>("b", Some(&data)));
            drop(unpack::<first::ProcessQuery>("b", Some(&data)));
            drop(unpack::<fourth::ProcessQuery>("b", Some(&data)));
        }
    }
}
