//! From a call to its answer: which module and method it means, and what came of it in the envelope's own words.

use api::drpc::{
    envelope::{Call, Hello, HelloResponse, Response, Status},
    method, module,
};
use prost::Message;

use super::{engine, process, session::Caller};

/// The sequence number of an answer to what is no call.
const NO_CALL: i64 = -1;

/// Answers a message, whatever it is.
pub(super) async fn answer(caller: &Caller<'_>, message: &[u8]) -> Response {
    let Ok(call) = Call::decode(message) else {
        let status = Status::FailedUnmarshalCall.into();
        return Response { sequence: NO_CALL, status, body: Vec::new() };
    };
    let sequence = call.sequence;
    let (status, body) = match body(caller, call).await {
        Ok(body) => (Status::Success, body),
        Err(status) => (status, Vec::new()),
    };
    let response = Response { sequence, status: status.into(), body };
    if response.encoded_len() <= caller.framing.largest_answer() {
        return response;
    }
    let most = caller.framing.largest_answer();
    tracing::warn!("an answer to dRPC is larger than the {most} bytes that fit; it was left out");
    Response { sequence, status: Status::FailedMarshal.into(), body: Vec::new() }
}

/// The answer's own message.
async fn body(caller: &Caller<'_>, call: Call) -> Result<Vec<u8>, Status> {
    let Call { module, method, body, .. } = call;
    match module {
        module::HELLO if method == method::GREETING => {
            let Hello { name } = decoded(&body)?;
            Ok(HelloResponse { greeting: format!("Hello {name}") }.encode_to_vec())
        }
        module::HELLO => Err(Status::UnknownMethod),
        module::SRV => engine::answer(caller, method, &body).await,
        module::PROCESS => process::answer(caller, method, &body).await,
        _ => Err(Status::UnknownModule),
    }
}

/// A request.
pub(super) fn decoded<T: Message + Default>(body: &[u8]) -> Result<T, Status> {
    T::decode(body).map_err(|_| Status::FailedUnmarshalPayload)
}
