//! What the processes of a unit find around them.

/// What every process of a unit is given, beside its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Variables, in order; of two with one name the later one counts.
    pub environment: Vec<(String, String)>,
    /// Files with more variables, read at each start; they count over [`Setting::environment`], and later
    /// ones over earlier ones.
    pub environment_files: Vec<EnvironmentFile>,
    /// The user it runs as, by name or number; none is whom the daemon runs as.
    pub user: Option<String>,
    /// The directory it starts in: an absolute path.
    pub working_directory: Option<String>,
    /// The mask of permissions for new files, at most 0o777.
    pub umask: Option<u32>,
    /// The niceness, -20 to 19.
    pub nice: Option<i32>,
    /// What it reads on standard input.
    pub stdin: Stdin,
    /// What it may use at most.
    pub limits: ResourceLimits,
}

/// A file of variables; [`crate::EnvironmentText`] reads what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Its absolute path.
    pub path: String,
    /// Whether it may be missing.
    pub optional: bool,
}

/// Where standard input comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nowhere: /dev/null.
    #[default]
    Null,
    /// From the file of this absolute path.
    File(String),
    /// From these bytes.
    Data(Vec<u8>),
}

/// Bounds that the kernel keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Its share of the processors where they are wanted by more than one, 1 to 10000; others have 100.
    pub cpu_weight: Option<u64>,
    /// Its processor time in percent of one processor; more than 100 are more than one.
    pub cpu_quota: Option<u32>,
    /// Bytes of memory; beyond them something of it is killed.
    pub memory_max: Option<u64>,
    /// Bytes of memory; beyond them it is slowed down.
    pub memory_high: Option<u64>,
    /// How many processes and threads it may have.
    pub pids_max: Option<u64>,
}
