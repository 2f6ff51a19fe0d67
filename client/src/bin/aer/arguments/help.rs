//! What stands below the usage in the help of each verb.

pub(super) const GLOBAL: &str = "Options of every verb";

pub(super) const FILES: &str = "\
The daemon is looked for where the first of these says:
  --socket or --address, AURAE_SOCKET in the environment,
  ~/.aurae/config, /etc/aurae/config ([system] socket = \"/PATH\" in TOML),
  and otherwise where auraed listens for this user if nobody tells it otherwise.

Every failure is one line on standard error and a status that is not 0: 125 from exec and wait, 1 from the
other verbs, 2 where the command line is wrong. 141 where the reader of the output went away.";

pub(super) const EXEC: &str = "\
The exit status is the program's own; 128 + N where signal N ended it; 127 where there is no such
program, 126 where it cannot be executed, 125 where aer or the daemon failed.
Ctrl-C or SIGTERM stops the run with that signal, a second one kills it, a third one leaves it.
With -o json the answer is one JSON object at the end, output included.

Examples:
  aer exec -- ls -l /etc
  aer exec --name backup -- tar -cf /tmp/etc.tar /etc
  aer exec -c 'printf \"%s\\n\" \"two words\"'";

pub(super) const STATUS: &str = "\
The exit status is 0 where the daemon is healthy, 1 where it is not.

Example:
  aer status -o json";

pub(super) const LOGS: &str = "\
An argument that is a UUID is a run, digits are a process id, everything else is a name; --run, --pid and
--name settle it. What was printed on standard output goes to standard output, and standard error likewise;
what is missing is told in one line on standard error. The output of one source passes through byte by byte
where it goes to no terminal; on a terminal, and of several sources merged by time, it is shown line by line,
lines of JSON as their level, message and the rest, and nothing of it commands the terminal.
  -o cat      every line as it was printed
  -o short    lines for people, also where they go to no terminal
  -o precise  with time, name, run and stream of each
  -o json     each piece, or with -g each line, as one JSON object on a line of its own
Times are UTC. --wait ends with the status of the run, as aer exec does.

Examples:
  aer logs backup -f
  aer logs web db -n 20 --since 1h
  aer logs web --previous -g 'error|panic'
  aer logs --all --daemon -f";

pub(super) const COMPLETIONS: &str = "\
Example:
  aer completions bash > ~/.local/share/bash-completion/completions/aer";

pub(super) const ENABLE: &str = "\
Enabling starts nothing, unless --now is given: the unit starts at the next boot. Enabling a name that is registered replaces what is
registered under it.

Examples:
  aer enable backup --comment 'every boot' -- tar -cf /tmp/etc.tar /etc
  aer enable hello -c 'echo ${HOME}'
  aer show backup | aer --address http://node-7:8080 enable -f -";

pub(super) const DISABLE: &str = "\
Disabling stops nothing, unless --now is given: the unit stays registered and does not start at the next boot. Each
name is tried; the exit status is 1 where one of them could not be disabled.

Example:
  aer disable backup hello";

pub(super) const DESTROY: &str = "\
Destroying stops nothing: the unit is forgotten. Each name is tried; the exit status is 1 where one of them
could not be destroyed.

Example:
  aer destroy backup hello";

pub(super) const LIST: &str = "\
Units that are registered and units that were started and are not forgotten, by name. CPU and MEMORY are what is
used now; - is what is not known, or not there. On a terminal lines are cut to its width; elsewhere they are whole.
With -o json each unit is one JSON object on a line of its own, with who changed it, when and why.

Examples:
  aer list --failed
  aer -o json list | jq .name";

pub(super) const START: &str = "\
A unit that is registered is started as it is registered. What -f or -- say is started as they say and is not
registered. aer returns when the unit is up: executed, or ready where it says so itself, or, where it is a oneshot,
ended. Times are written as 5s or 1min 30s, a bare number being seconds; sizes as 512M.

Examples:
  aer start backup
  aer start --name web --restart on-failure --memory-max 512M -- nginx -g 'daemon off;'
  aer start -f web.toml";

pub(super) const STOP: &str = "\
A unit that is stopped is not started again by itself. Each name is tried; the exit status is 1 where one of them
could not be stopped. Of a run that is no unit's the end is ordered and not waited for.

Example:
  aer stop web --reason 'kernel update'";

pub(super) const RESTART: &str = "\
A unit that is down is started. Each name is tried; the exit status is 1 where one of them is not up then.

Example:
  aer restart web";

pub(super) const RELOAD: &str = "\
A unit says with on_reload how it is reloaded. Each name is tried; the exit status is 1 where one of them could not be
reloaded.

Example:
  aer reload web";

pub(super) const SIGNAL: &str = "\
The signal is sent, and nothing is concluded from it: a unit that dies of it is started again where it says so.

Examples:
  aer signal web HUP
  aer signal web KILL --all";

pub(super) const WAIT: &str = "\
The exit status is that of the last run, as aer exec has it: the program's own; 128 + N where signal N ended it; 127 or
126 where it could not be executed, 125 where it never ran or aer or the daemon failed.

Example:
  aer wait backup && echo done";

pub(super) const INSPECT: &str = "\
Example:
  aer inspect web";

pub(super) const FORGET: &str = "\
What is registered stays registered; logs stay too.

Examples:
  aer forget backup
  aer forget --all";

pub(super) const WATCH: &str = "\
A line for each change: its number, when, the unit, from which state to which, and why. Changes that cannot be told are
told to be missing, in one line on standard error. Without --from only what happens from now on is printed.

Examples:
  aer watch web
  aer watch --from 0";

pub(super) const EDIT: &str = "\
The editor is $VISUAL, $EDITOR or vi. What it leaves is registered in the place of the unit, which stays enabled or
disabled and is not restarted. A file that is unchanged or empty changes nothing. What is refused is kept, and said
where.

Example:
  aer edit web";

pub(super) const SHOW: &str = "\
It is printed as TOML, as aer enable -f takes it; comments in it say whether it is enabled, and who changed it,
when and why.

Example:
  aer show backup > backup.toml";

pub(super) const SCHEDULE: &str = "\
Examples:
  aer schedule export > units.toml
  aer schedule import units.toml
  aer schedule repair";

pub(super) const EXPORT: &str = "\
It is printed as TOML, as aer schedule import takes it, a table [[unit]] for each unit. What is damaged is told
there as a comment and in one line on standard error, the exit status is 1 then, and everything else is there.

Example:
  aer schedule export > units.toml";

pub(super) const IMPORT: &str = "\
All units of the file are registered or, where one of them is refused, none. A unit of the same name is
replaced; the others stay.

Example:
  aer schedule import units.toml";

pub(super) const REPAIR: &str = "\
A damaged store is put aside as evidence, never deleted, and a new one is begun with what can be got out of it.
Of a store that is whole nothing is changed. What was lost is listed; the exit status is 0 all the same.

Example:
  aer schedule repair";

pub(super) const DAEMON: &str = "\
Examples:
  aer daemon restart
  aer daemon upgrade /opt/aurae/auraed-core
  aer daemon log-level debug";

pub(super) const POWER: &str = "\
Nothing is started any more, what runs is stopped as its unit says, disks are unmounted. Asked for once more, or with
--force, it does not wait for what runs. Where auraed is not PID 1 it is refused.

Examples:
  aer power off
  aer power reboot --delay 5m --message 'a new kernel'
  aer power cancel";

pub(super) const DAEMON_LOG_LEVEL: &str = "\
Without FILTER it tells the present one. The change holds until the daemon is replaced: the next one begins with what
the configuration says. The log store has everything all the time, which aer logs --daemon shows.

Example:
  aer daemon log-level debug";

pub(super) const DAEMON_RESTART: &str = "\
It returns when the next daemon serves. Connections that are made meanwhile wait for it.

Example:
  aer daemon restart --reason 'it has grown'";

pub(super) const DAEMON_UPGRADE: &str = "\
The program must belong to root or to the daemon's own user, and nobody else may be able to write it, nor the folders
above it. It is asked what it is before anything ends. Where the new daemon does not come to serve, the daemon before is
back by itself; the exit status is 1 then, and the reason is told. An auraed in the folder of BINARY becomes the keeper,
with the same process id and the same children.

Example:
  aer daemon upgrade /opt/aurae/auraed-core";
