use std::fs;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;

struct Machine {
    folder: TempDir,
    environment: Environment,
}

impl Machine {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/.aurae")).unwrap();
        let environment = Environment {
            socket: None,
            home: Some(folder.path().join("home")),
            xdg_runtime_dir: Some("/run/user/7".into()),
            system_file: folder.path().join("system"),
            uid: 7,
        };
        Self { folder, environment }
    }

    fn write(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(path), content).unwrap();
        self
    }

    fn endpoint(&self, words: &[&str]) -> Result<Endpoint, ConfigError> {
        let words = ["aer"].iter().chain(words).chain(&["status"]).map(OsString::from);
        endpoint(&Arguments::read(words).unwrap(), &self.environment)
    }

    fn fault(&self) -> String {
        let path = format!("reading {}/", self.folder.path().display());
        self.endpoint(&[]).unwrap_err().to_string().replace(&path, "")
    }
}

fn socket(path: &str) -> Endpoint {
    Endpoint::Socket(path.into())
}

const HOME: &str = "home/.aurae/config";

#[test]
fn the_first_that_says_something_decides() {
    let mut machine = Machine::new()
        .write(HOME, "[system]\nsocket = '/home.sock'")
        .write("system", "[system]\nsocket = '/system.sock'");
    machine.environment.socket = Some("/environment.sock".into());

    let address = machine.endpoint(&["--address", "http://h:1"]).unwrap();
    assert_eq!(address, "http://h:1".parse().unwrap());
    assert_eq!(machine.endpoint(&["--socket", "here.sock"]).unwrap(), socket("here.sock"));
    assert_eq!(machine.endpoint(&[]).unwrap(), socket("/environment.sock"));
    machine.environment.socket = Some("".into());
    assert_eq!(machine.endpoint(&[]).unwrap(), socket("/home.sock"));
    let machine = machine.write(HOME, "[auth]\nca_crt = 'c'\nclient_crt = 'x'\nclient_key = 'k'");
    assert_eq!(machine.endpoint(&[]).unwrap(), socket("/system.sock"));
}

#[test]
fn without_any_of_them_it_is_the_default_of_the_user() {
    let mut machine = Machine::new();
    assert_eq!(machine.endpoint(&[]).unwrap(), socket("/run/user/7/aurae/aurae.sock"));
    machine.environment.home = None;
    machine.environment.uid = 0;
    assert_eq!(machine.endpoint(&[]).unwrap(), socket("/run/aurae/aurae.sock"));
}

#[test]
fn a_broken_file_is_not_read_where_it_does_not_matter() {
    let machine = Machine::new().write(HOME, "[[[");
    assert_eq!(machine.endpoint(&["--socket", "/s"]).unwrap(), socket("/s"));
}

#[test]
fn faults_name_file_line_and_column() {
    for (content, place, fault) in [
        ("[system]\nsokcet = '/s'", "line 2, column 1", "unknown field `sokcet`"),
        ("# ä\n\n[sytem]\n", "line 3, column 2", "unknown field `sytem`"),
        ("[auth]\npassword = 'ä'", "line 2, column 1", "unknown field `password`"),
        ("[system]\n  socket = 7", "line 2, column 12", "invalid type"),
        ("[system]\nsocket = 'a.sock'", "line 2, column 10", "begin with a slash"),
        ("[system]\nsocket = ''", "line 2, column 10", "begin with a slash"),
        ("[system]\nsocket = '/a", "line 2, column 1", "literal string"),
        ("[system]\nsocket = '/a'\nsocket = '/b'", "line 3, column 1", "duplicate key"),
        ("[system", "line 1, column 8", "table"),
    ] {
        let message = Machine::new().write(HOME, content).fault();
        assert!(message.starts_with(&format!("{HOME}, {place}")), "{content}: {message}");
        assert!(message.contains(fault), "{content}: {message}");
    }
}

#[test]
fn what_is_no_text_no_file_or_too_large_is_a_clear_fault() {
    let message = Machine::new().write("system", b"[auth]\n#\xff").fault();
    assert_eq!(message, "system, line 2, column 2: a byte that is not UTF-8");
    let message = Machine::new().write("system", vec![b'#'; 1 << 21]).fault();
    assert_eq!(message, "system: it is larger than 1 MiB");
    let mut machine = Machine::new();
    machine.environment.system_file = machine.folder.path().to_owned();
    assert!(matches!(machine.endpoint(&[]), Err(ConfigError::Read { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(content in any::<Vec<u8>>()) {
        parse(Path::new("x"), &content).ok();
    }

    #[test]
    fn near_misses_never_panic(content in "(\\[(system|auth|x)\\]|\n|socket|=| |'|\"|/ä|\\\\u|#){0,20}") {
        parse(Path::new("x"), content.as_bytes()).ok();
    }

    #[test]
    fn every_path_that_toml_can_write_is_read_back(path in "/[^'\\x00-\\x1f\\x7f]{0,30}") {
        let content = format!("[system]\nsocket = '{path}'\n");
        let parsed = parse(Path::new("x"), content.as_bytes()).unwrap();
        prop_assert_eq!(parsed, Some(PathBuf::from(path)));
    }
}
