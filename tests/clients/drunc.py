"""A client of drunc's process manager that shares no code with the daemon.

Its messages are made at run time from the tables below, which are those of docs/drunc.md; its gRPC is Google's. It does
what it is told by lines of JSON on a Unix socket, and answers each with one:

    {"gen": "G3", "method": "boot", "type": "BootRequest", "request": {...}, "user": "me"}
    {"data": {...}, "type": "ProcessInstance", "flag": "EXECUTED_SUCCESSFULLY", "token": {...}, "name": "..."}
    {"code": "INTERNAL", "message": "...", "reason": "...", "domain": "..."}

"raw" sends bytes (in hexadecimal) as the body of a call, and the method "encode" answers what a request of the method "of"
would be as bytes.
"""

import json
import os
import socket
import sys

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory

# message: fields, as "name=number type", with "rep" or "opt" before the type; types are those of protobuf, or messages.
COMMON = {
    "Token": "token=1 string, user_name=2 string",
    "ProcessUUID": "uuid=1 string",
    "ExecAndArgs": "exec=1 string, args=2 rep string",
}
FLAGS = (
    "EXECUTED_SUCCESSFULLY=0 FAILED=1 NOT_EXECUTED_NOT_IMPLEMENTED=2 NOT_EXECUTED_NOT_IN_CONTROL=3 "
    "NOT_EXECUTED_NOT_AUTHORISED=4 NOT_EXECUTED_NODE_IN_ERROR=5 DRUNC_EXCEPTION_THROWN=6 "
    "UNHANDLED_EXCEPTION_THROWN=7 NOT_EXECUTED_BAD_REQUEST_FORMAT=8"
)
METADATA = "uuid=1 ProcessUUID, user=2 string, session=3 opt string, name=4 string, hostname=5 string, tree_id=6 opt string"
DESCRIPTION = (
    "metadata=1 ProcessMetadata, env=2 map, executable_and_arguments=3 rep ExecAndArgs, "
    "process_execution_directory=4 string, process_logs_path=5 string"
)
COMMAND = "name=1 string, data_type=2 rep string, help=3 string, return_type=4 string"

GENERATIONS = {
    "G1": {
        "package": "DUNEProcessManager",
        # In no package: the first generation's envelopes.
        "bare": {
            "Request": "token=1 Token, data=2 opt Any",
            "Response": "token=1 Token, data=2 opt Any",
            "Token": COMMON["Token"],
        },
        "messages": {
            "ProcessUUID": COMMON["ProcessUUID"],
            "ExecAndArgs": COMMON["ExecAndArgs"],
            "ProcessMetadata": "uuid=1 ProcessUUID, user=2 string, session=3 string, name=4 string",
            "ProcessQuery": "uuid=1 opt ProcessUUID, user=2 opt string, session=3 opt string, name=4 opt string, force=5 bool",
            "ProcessDescription": "metadata=1 ProcessMetadata, env=2 map, executable_and_arguments=3 rep ExecAndArgs",
            "ProcessRestriction": "allowed_hosts=1 rep string, allowed_host_types=2 rep string",
            "BootRequest": "process_description=1 ProcessDescription, process_restriction=2 ProcessRestriction",
            "ProcessInstance": "process_description=1 ProcessDescription, process_restriction=2 ProcessRestriction, "
            "status_code=3 StatusCode, return_code=4 opt int32, uuid=5 ProcessUUID",
            "ProcessInstanceList": "values=1 rep ProcessInstance",
            "LogRequest": "query=1 ProcessQuery, how_far=2 int32",
            "LogLine": "uuid=1 ProcessUUID, line=2 string",
        },
        "methods": {
            method: ("Request", "Response")
            for method in "boot restart is_alive kill killall flush list_process".split()
        }
        | {"logs": ("Request", "stream LogLine")},
    },
    "G3": {
        "package": "dunedaq.druncschema",
        "bare": {},
        "messages": COMMON
        | {
            "Request": "token=1 Token, data=2 opt Any",
            "Response": "name=1 string, token=2 Token, data=3 opt Any, flag=4 ResponseFlag, children=5 rep Response",
            "PlainText": "text=1 string",
            "Stacktrace": "text=1 rep string",
            "ProcessMetadata": METADATA,
            "ProcessQuery": "uuids=1 rep ProcessUUID, names=2 rep string, user=3 string, session=4 string",
            "ProcessDescription": DESCRIPTION,
            "ProcessRestriction": "allowed_hosts=1 rep string, allowed_host_types=2 rep string",
            "BootRequest": "process_description=1 ProcessDescription, process_restriction=2 ProcessRestriction",
            "ProcessInstance": "process_description=1 ProcessDescription, process_restriction=2 ProcessRestriction, "
            "status_code=3 StatusCode, return_code=4 int32, uuid=5 ProcessUUID",
            "ProcessInstanceList": "values=1 rep ProcessInstance",
            "LogRequest": "query=1 ProcessQuery, how_far=2 int32",
            "LogLine": "uuid=1 ProcessUUID, line=2 string",
            "CommandDescription": COMMAND,
            "Description": "type=1 string, name=2 string, session=3 opt string, commands=4 rep CommandDescription, "
            "broadcast=5 opt Any",
        },
        "methods": {
            method: ("Request", "Response")
            for method in "describe boot terminate restart kill flush ps".split()
        }
        | {"logs": ("Request", "stream Response")},
    },
    "G4": {
        "package": "dunedaq.druncschema.process_manager",
        "bare": {},
        "messages": COMMON
        | {
            "Request": "token=1 Token, data=2 opt Any",
            "ProcessMetadata": METADATA,
            "ProcessQuery": "token=1 Token, uuids=2 rep ProcessUUID, names=3 rep string, user=4 string, session=5 string, "
            "crash=6 opt bool",
            "ProcessDescription": DESCRIPTION,
            "ProcessRestriction": "allowed_hosts=1 rep string, allowed_host_types=2 rep string, data_mount=3 opt string",
            "BootRequest": "token=1 Token, process_description=2 ProcessDescription, process_restriction=3 ProcessRestriction",
            "ProcessInstance": "process_description=1 ProcessDescription, process_restriction=2 ProcessRestriction, "
            "status_code=3 StatusCode, return_code=4 opt int32, uuid=5 ProcessUUID, remote_pid=6 opt string",
            "ProcessInstanceList": "name=1 string, token=2 Token, values=3 rep ProcessInstance, flag=4 ResponseFlag",
            "LogRequest": "token=1 Token, query=2 ProcessQuery, how_far=3 int32",
            "LogLines": "name=1 string, token=2 Token, uuid=3 ProcessUUID, lines=4 rep string, flag=5 ResponseFlag",
            "CommandDescription": COMMAND,
            "Description": "token=1 Token, type=2 string, name=3 string, endpoint=4 string, info=5 opt string, "
            "session=6 opt string, commands=7 rep CommandDescription, broadcast=8 opt Any, flag=9 ResponseFlag",
            "LogOnServerRequest": "token=1 Token, text=2 string, severity=3 string, target=4 string, "
            "execute_along_path=5 bool, execute_on_all_subsequent_children_in_path=6 bool",
            "LogOnServerResponse": "token=1 Token, name=2 string, flag=3 ResponseFlag, children=4 rep LogOnServerResponse",
        },
        "methods": {
            "describe": ("Request", "Description"),
            "boot": ("BootRequest", "ProcessInstanceList"),
            "terminate": ("Request", "ProcessInstanceList"),
            "restart": ("ProcessQuery", "ProcessInstanceList"),
            "kill": ("ProcessQuery", "ProcessInstanceList"),
            "flush": ("ProcessQuery", "ProcessInstanceList"),
            "ps": ("ProcessQuery", "ProcessInstanceList"),
            "logs": ("LogRequest", "LogLines"),
            "log_on_server": ("LogOnServerRequest", "LogOnServerResponse"),
            "echo_on_server": ("LogOnServerRequest", "LogOnServerResponse"),
            "send_msg": ("Request", "Request"),
        },
    },
}
# What comes back from a method whose flag is bad.
STATUS = {
    "G4-details": "code=1 int32, message=2 string, details=3 rep Any",
    "ErrorInfo": "reason=1 string, domain=2 string",
}

FIELD = descriptor_pb2.FieldDescriptorProto
PLAIN = {"string": FIELD.TYPE_STRING, "int32": FIELD.TYPE_INT32, "bool": FIELD.TYPE_BOOL}
ENUMS = {"StatusCode": "RUNNING=0 DEAD=1", "ResponseFlag": FLAGS}


def add_enum(file, name):
    enum = file.enum_type.add(name=name)
    for word in ENUMS[name].split():
        value, number = word.split("=")
        enum.value.add(name=value, number=int(number))


def add_message(file, name, fields, prefix, bare):
    message = file.message_type.add(name=name)
    for field in fields.split(", "):
        front, *words = field.split(" ")
        field_name, number = front.split("=")
        made = message.field.add(name=field_name, number=int(number), label=FIELD.LABEL_OPTIONAL)
        kind = words[-1]
        if words[0] == "rep":
            made.label = FIELD.LABEL_REPEATED
        if words[0] == "opt":
            made.proto3_optional = True
            made.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name="_" + field_name)
        if kind == "map":
            entry = message.nested_type.add(name="EnvEntry")
            entry.options.map_entry = True
            for place, key in enumerate(("key", "value"), 1):
                entry.field.add(name=key, number=place, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_STRING)
            made.label, made.type, made.type_name = FIELD.LABEL_REPEATED, FIELD.TYPE_MESSAGE, f"{prefix}.{name}.EnvEntry"
        elif kind in PLAIN:
            made.type = PLAIN[kind]
        elif kind in ENUMS:
            made.type, made.type_name = FIELD.TYPE_ENUM, f"{prefix}.{kind}"
        elif kind == "Any":
            made.type, made.type_name = FIELD.TYPE_MESSAGE, ".google.protobuf.Any"
        else:
            made.type, made.type_name = FIELD.TYPE_MESSAGE, f"{'' if kind in bare else prefix}.{kind}"


class Generation:
    def __init__(self, name):
        table = GENERATIONS[name]
        self.name, self.package, self.methods, self.bare = name, table["package"], table["methods"], table["bare"]
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
        if self.bare:
            file = descriptor_pb2.FileDescriptorProto(name="bare.proto", syntax="proto3")
            file.dependency.append("google/protobuf/any.proto")
            for message, fields in self.bare.items():
                add_message(file, message, fields, "", self.bare)
            pool.Add(file)
        file = descriptor_pb2.FileDescriptorProto(name="it.proto", package=self.package, syntax="proto3")
        file.dependency.append("google/protobuf/any.proto")
        prefix = "." + self.package
        add_enum(file, "StatusCode")
        add_enum(file, "ResponseFlag")
        for message, fields in table["messages"].items():
            add_message(file, message, fields, prefix, self.bare)
        pool.Add(file)
        self.pool = pool

    def new(self, message):
        full = message if message in self.bare else f"{self.package}.{message}"
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full))()

    def path(self, method):
        return f"/{self.package}.ProcessManager/{method}"


def status_class():
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package="google.rpc", syntax="proto3")
    file.dependency.append("google/protobuf/any.proto")
    add_message(file, "Status", STATUS["G4-details"], ".google.rpc", {})
    add_message(file, "ErrorInfo", STATUS["ErrorInfo"], ".google.rpc", {})
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return tuple(message_factory.GetMessageClass(find(f"google.rpc.{name}")) for name in ("Status", "ErrorInfo"))


Status, ErrorInfo = status_class()
ALL = {name: Generation(name) for name in GENERATIONS}


def as_dict(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def token(order):
    user = order.get("user", "tester")
    return {"token": f"{user}-token", "user_name": user}


def request_of(generation, order):
    """The message that goes out: for G1 and G3 an envelope around what was asked for."""
    takes = generation.methods[order["method"]][0]
    message = generation.new(takes)
    content = order.get("request") or {}
    if takes == "Request":
        json_format.ParseDict({"token": token(order)}, message)
        if order.get("type"):
            inside = generation.new(order["type"])
            json_format.ParseDict(content, inside)
            name = order.get("type_url") or f"type.googleapis.com/{inside.DESCRIPTOR.full_name}"
            message.data.type_url, message.data.value = name, inside.SerializeToString()
    else:
        json_format.ParseDict(content | {"token": token(order)}, message)
    return message


def told(generation, message):
    """An answer as JSON, what is in its envelope included."""
    name = message.DESCRIPTOR.name
    if name != "Response":
        return {"type": name, "data": as_dict(message)}
    answer = {"token": as_dict(message.token)}
    if generation.name == "G3":
        answer["name"] = message.name
        answer["flag"] = message.DESCRIPTOR.fields_by_name["flag"].enum_type.values_by_number[message.flag].name
    if message.HasField("data"):
        host, full = message.data.type_url.rsplit("/", 1)
        assert host == "type.googleapis.com", message.data.type_url
        package, inner = full.rsplit(".", 1)
        assert package == generation.package, full
        inside = generation.new(inner)
        inside.ParseFromString(message.data.value)
        answer |= {"type": inner, "data": as_dict(inside)}
    return answer


def failed(error):
    answer = {"code": error.code().name, "message": error.details()}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = Status.FromString(value)
            answer["status"] = {"code": status.code, "message": status.message}
            for detail in status.details:
                if detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo":
                    info = ErrorInfo.FromString(detail.value)
                    answer |= {"reason": info.reason, "domain": info.domain}
    return answer


def call(channel, order):
    generation = ALL[order["gen"]]
    takes, gives = generation.methods[order["method"]]
    streams = gives.startswith("stream ")
    gives = gives.removeprefix("stream ")
    raw = "raw" in order
    out = (lambda data: data) if raw else (lambda message: message.SerializeToString())
    message = bytes.fromhex(order["raw"]) if raw else request_of(generation, order)
    kind = channel.unary_stream if streams else channel.unary_unary
    back = lambda data: type(generation.new(gives)).FromString(data)
    method = kind(generation.path(order["method"]), request_serializer=out, response_deserializer=back)
    try:
        answer = method(message, timeout=order.get("timeout", 60), wait_for_ready=True)
        if streams:
            return {"stream": [told(generation, item) for item in answer]}
        return told(generation, answer)
    except grpc.RpcError as error:
        return failed(error)


def main():
    control, address, uid = sys.argv[1:]
    lines = socket.socket(socket.AF_UNIX)
    lines.connect(control)
    if uid != "-":
        os.setegid(int(uid))
        os.seteuid(int(uid))
    # Each call begins with a connection that is there, or waits for one.
    options = [("grpc.keepalive_time_ms", 60000), ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    channel = grpc.insecure_channel(address, options=options)
    file = lines.makefile("rw")
    for line in file:
        order = json.loads(line)
        if order.get("method") == "encode":
            message = request_of(ALL[order["gen"]], order | {"method": order["of"]})
            answer = {"raw": message.SerializeToString().hex()}
        else:
            answer = call(channel, order)
        file.write(json.dumps(answer) + "\n")
        file.flush()


main()
