//! Loops that wait, or dial, and try again outside of `crates/liveness`.
//!
//! A retry of one's own is a loop that forgets one of its bounds. The check reads the syntax of every source file but tests,
//! and complains about each `loop`, `while` or `for` in which time is waited for, a thread is made to spin, or a peer is
//! dialed: with one of the calls in [`CALLS`], or with a function or a named closure
//! of the same file that makes one. What is no retry stands
//! in [`EXEMPT`], function by function, with its reason; an entry that fits nothing any more is complained about as well.
//!
//! It is syntax that is read, not meaning: a wait behind a function of another file is not seen, nor are a retry by
//! recursion and one spread over the polls of a future.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::check::Skipped;
use crate::repository::Repository;

/// What waits for time, spins, or dials. `until` is how `vatmux_liveness::Pace` waits.
const CALLS: [&str; 14] = [
    "sleep",
    "sleep_until",
    "until",
    "timeout",
    "park_timeout",
    "recv_timeout",
    "wait_timeout",
    "wait_timeout_while",
    "spin_loop",
    "dial",
    "dial_over",
    "connect_timeout",
    "try_wait",
    "interval",
];

/// Names that too many functions have to follow them: whoever calls one of these is not made to wait by it.
const NOT_FOLLOWED: [&str; 2] = ["new", "poll"];

/// A function whose loops may wait.
struct Exempt {
    file: &'static str,
    function: &'static str,
    /// What it does in its loop: the rest of a sentence that begins with "it".
    reason: &'static str,
}

const EXEMPT: [Exempt; 23] = [
    Exempt {
        file: "crates/liveness/src/run.rs",
        function: "retry",
        reason: "is the one loop that tries again, bounded by time, attempts and mismatches",
    },
    Exempt {
        file: "crates/host/src/listen.rs",
        function: "accept_all",
        reason: "accepts callers for as long as the listener lives; a refusal by the system is told and followed by a pause",
    },
    Exempt {
        file: "crates/host/src/bridge/link.rs",
        function: "silence",
        reason: "waits for a silence that is long enough, as often as bytes put it off",
    },
    Exempt {
        file: "guests/os/src/node.rs",
        function: "relieve",
        reason: "sends one guest after the other away while memory is short, of which there are four at most",
    },
    Exempt {
        file: "crates/rpc/src/reconnect/mod.rs",
        function: "keep_in_touch",
        reason: "dials when `Redial` says so, and no more when that has given up",
    },
    Exempt {
        file: "crates/rpc/src/reconnect/mod.rs",
        function: "settle",
        reason: "looks at each change of the connection until there is a session; its caller's deadline ends it",
    },
    Exempt {
        file: "crates/rpc/src/vat.rs",
        function: "poll",
        reason: "arms the timer for the nearest deadline and returns",
    },
    Exempt {
        file: "src/bundlemgr/upload.rs",
        function: "run",
        reason: "takes the pieces of an upload as they come, and gives it up when none has come for a minute",
    },
    Exempt {
        file: "crates/cli/src/commands/ping.rs",
        function: "exchange",
        reason: "pings as often as it was told to, at the interval that it was told; the first failure ends it",
    },
    Exempt {
        file: "crates/cli/src/pulse.rs",
        function: "guard",
        reason: "watches work that is under way, and gives it up when nothing has moved for half a minute",
    },
    Exempt {
        file: "crates/bench/src/relay.rs",
        function: "serve",
        reason: "starts two threads for each caller",
    },
    Exempt {
        file: "crates/bench/src/relay.rs",
        function: "let_out",
        reason: "holds each chunk back until it is due: the delay of the line that it plays",
    },
    Exempt {
        file: "crates/bench/src/contestants/memory/secure.rs",
        function: "idle_sessions",
        reason: "opens the sessions whose memory is measured, each once",
    },
    Exempt {
        file: "crates/bench/src/side.rs",
        function: "end",
        reason: "waits for a process to end, with a deadline, and then kills it",
    },
    Exempt {
        file: "crates/bench/src/contestants/sftp.rs",
        function: "wait_for_answer",
        reason: "reads line after line, with one deadline for all of them",
    },
    Exempt {
        file: "crates/instructions/src/workloads/session.rs",
        function: "handshakes",
        reason: "dials a session of its own each time, to be counted; the first that fails ends it",
    },
    Exempt {
        file: "guests/os/src/selftest.rs",
        function: "watch",
        reason: "tells of each session of a peer that is dialed by `Redial`, and ends when that has given up",
    },
    Exempt {
        file: "src/samgr/server.rs",
        function: "expire_without_heartbeat",
        reason: "waits for a silence that is long enough, as often as heartbeats put it off",
    },
    Exempt {
        file: "guests/os/src/selftest.rs",
        function: "start",
        reason: "pings for as long as the test lasts; the first failure ends it",
    },
    Exempt {
        file: "guests/os/src/selftest.rs",
        function: "answered_more",
        reason: "waits for pings that another task sends, whose first failure ends it",
    },
    Exempt {
        file: "xtask/src/os/storm.rs",
        function: "rage",
        reason: "sends frames that nobody answers, for as long as what they are to disturb takes, and a bounded number of them",
    },
    Exempt {
        file: "xtask/src/os/console.rs",
        function: "wait_for",
        reason: "reads line after line, with one deadline for all of them",
    },
    Exempt {
        file: "xtask/src/os/console.rs",
        function: "wait_for_end",
        reason: "reads line after line, with one deadline for all of them",
    },
];

/// A loop that waits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    line: usize,
    function: String,
    call: String,
}

/// Fails with every loop that waits, and every exemption that nothing needs.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    for file in repository.files()?.iter().filter(|file| is_looked_at(file)) {
        let Some(text) = repository.text(file)? else { continue };
        let found = waiting_loops(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for waiting in found {
            match exemption(file, &waiting.function) {
                Some(number) => {
                    used.insert(number);
                }
                None => complaints.push(complaint(file, &waiting)),
            }
        }
    }
    for (number, Exempt { file, function, reason }) in EXEMPT.iter().enumerate() {
        if used.contains(&number) {
            println!("{file}: `{function}` may wait in a loop: it {reason}");
        } else {
            complaints.push(format!(
                "{file}: no loop in `{function}` waits any more; take it out of EXEMPT in xtask/src/retries.rs"
            ));
        }
    }
    if complaints.is_empty() { Ok(Skipped::new()) } else { Err(complaints.join("\n")) }
}

fn is_looked_at(file: &Path) -> bool {
    let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    file.extension().is_some_and(|extension| extension == "rs") && !is_test
}

fn exemption(file: &Path, function: &str) -> Option<usize> {
    EXEMPT.iter().position(|exempt| file == Path::new(exempt.file) && function == exempt.function)
}

fn complaint(file: &Path, waiting: &Waiting) -> String {
    let Waiting { line, function, call } = waiting;
    format!(
        "{}:{line}: `{function}` calls `{call}` in a loop. If that tries something again, use retry, Retry or Redial of \
         vatmux_liveness, which bound it by time, attempts and mismatches and say which of them ran out; if not, name the \
         function in EXEMPT in xtask/src/retries.rs, with the reason",
        file.display()
    )
}

/// The loops of a source text that wait, one for each call, in order of their lines.
fn waiting_loops(text: &str) -> Result<Vec<Waiting>, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut names: BTreeSet<String> = CALLS.iter().map(|&name| name.to_owned()).collect();
    // Functions that wait make those wait that call them, until there are no more of them.
    loop {
        let mut reader = Reader::new(&names);
        reader.visit_file(&file);
        let known = names.len();
        let (mut found, waiters) = (reader.found, reader.waiters);
        names.extend(waiters);
        if names.len() == known {
            found.sort();
            return Ok(found);
        }
    }
}

/// Walks the syntax of one file.
struct Reader<'a> {
    names: &'a BTreeSet<String>,
    function: String,
    loops: usize,
    found: Vec<Waiting>,
    /// Functions that wait, in a loop or not.
    waiters: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn new(names: &'a BTreeSet<String>) -> Self {
        Self { names, function: String::new(), loops: 0, found: Vec::new(), waiters: BTreeSet::new() }
    }

    fn enter(&mut self, function: &syn::Ident, attributes: &[syn::Attribute], walk: impl FnOnce(&mut Self)) {
        if attributes.iter().any(is_for_tests) {
            return;
        }
        let outer = std::mem::replace(&mut self.function, function.to_string());
        let loops = std::mem::take(&mut self.loops);
        walk(self);
        self.function = outer;
        self.loops = loops;
    }

    fn in_loop(&mut self, walk: impl FnOnce(&mut Self)) {
        self.loops += 1;
        walk(self);
        self.loops -= 1;
    }

    fn call(&mut self, name: &syn::Ident) {
        let call = name.to_string();
        if !self.names.contains(&call) {
            return;
        }
        if !NOT_FOLLOWED.contains(&self.function.as_str()) {
            self.waiters.insert(self.function.clone());
        }
        if self.loops > 0 {
            let (function, line) = (self.function.clone(), name.span().start().line);
            self.found.push(Waiting { line, function, call });
        }
    }

    /// The inside of a macro has no syntax of its own: names that are followed by parentheses are calls.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut name = None;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => name = Some(ident),
                TokenTree::Group(group) => {
                    if let Some(name) = name.take().filter(|_| group.delimiter() == Delimiter::Parenthesis) {
                        self.call(&name);
                    }
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => name = None,
            }
        }
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !module.attrs.iter().any(is_for_tests) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.enter(&function.sig.ident, &function.attrs, |reader| visit::visit_item_fn(reader, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.enter(&function.sig.ident, &function.attrs, |reader| {
            visit::visit_impl_item_fn(reader, function);
        });
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.enter(&function.sig.ident, &function.attrs, |reader| {
            visit::visit_trait_item_fn(reader, function);
        });
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        match (&local.pat, local.init.as_ref().map(|init| &*init.expr)) {
            (syn::Pat::Ident(name), Some(syn::Expr::Closure(closure))) => {
                self.enter(&name.ident, &local.attrs, |reader| visit::visit_expr_closure(reader, closure));
            }
            _ => visit::visit_local(self, local),
        }
    }

    fn visit_expr_loop(&mut self, expression: &'ast syn::ExprLoop) {
        self.in_loop(|reader| visit::visit_expr_loop(reader, expression));
    }

    fn visit_expr_while(&mut self, expression: &'ast syn::ExprWhile) {
        self.in_loop(|reader| visit::visit_expr_while(reader, expression));
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast syn::ExprForLoop) {
        // What is looped over is asked for once.
        self.visit_expr(&expression.expr);
        self.in_loop(|reader| reader.visit_block(&expression.body));
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
        {
            self.call(&last.ident);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.call(&call.method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The loops that wait in the body of a function `f`, as line, function and call.
    fn found(text: &str) -> Vec<(usize, String, String)> {
        let found = waiting_loops(text).unwrap().into_iter();
        found.map(|Waiting { line, function, call }| (line, function, call)).collect()
    }

    fn one(line: usize, function: &str, call: &str) -> Vec<(usize, String, String)> {
        vec![(line, function.to_owned(), call.to_owned())]
    }

    #[test]
    fn each_kind_of_loop_that_waits_is_found() {
        for body in [
            "loop {\n std::thread::sleep(pause); }",
            "while failed() {\n handle.sleep(pause).await; }",
            "for _ in 0..3 {\n if let Err(_) = channel.recv_timeout(pause) { return } }",
            "while let Err(Full) = queue.push() {\n core::hint::spin_loop(); }",
            "loop {\n match dialer.dial(&address).await { Ok(peer) => return peer, Err(_) => continue } }",
            "loop {\n spawn(async { let _ = || { sleep(pause) }; }); }",
            "loop {\n select!(sleep(pause), work); }",
            "loop {\n select! { _ = work => { sleep(pause) } } }",
        ] {
            let found = found(&format!("async fn f() {{ {body} }}"));
            assert!(matches!(&found[..], [(2, function, _)] if function == "f"), "{body}: {found:?}");
        }
    }

    #[test]
    fn a_loop_that_waits_in_its_condition_is_found() {
        let text = "fn f() {\n while let Err(Timeout) = channel.recv_timeout(pause) {} }";
        assert_eq!(found(text), one(2, "f", "recv_timeout"));
    }

    #[test]
    fn a_loop_that_waits_through_functions_and_closures_of_its_file_is_found() {
        let text = "fn rest() { sleep(pause) }\nfn retry_later() { rest() }\nimpl X { fn f(&self) { loop { retry_later() } } }";
        assert_eq!(found(text), one(3, "f", "retry_later"));
        let text = "fn f() { let rest = |_| sleep(pause);\n loop { rest(1) } }";
        assert_eq!(found(text), one(2, "f", "rest"));
    }

    #[test]
    fn waiting_once_is_no_loop() {
        for text in [
            "async fn f() { handle.sleep(pause).await; }",
            "fn f() { loop { step() } sleep(pause) }",
            "fn f() { for line in wait_timeout(pause) { step() } }",
            "fn f() { loop { fn g() { sleep(pause) } } }",
            "fn f() { loop { println!(\"sleep (a while)\") } }",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn tests_may_do_as_they_like() {
        let waiting = "fn f() { loop { sleep(pause) } }";
        assert_eq!(found(&format!("#[cfg(test)]\nmod tests {{ {waiting} }}")), []);
        assert_eq!(found(&format!("#[test]\n{waiting}")), []);
        assert_eq!(found(&format!("#[cfg(unix)]\n{waiting}")).len(), 1);
        assert!(
            !["tests/a.rs", "crates/a/tests/b/c.rs", "src/tests.rs", "docs/a.md"]
                .iter()
                .any(|file| is_looked_at(Path::new(file)))
        );
        assert!(is_looked_at(Path::new("crates/a/src/b.rs")));
    }

    #[test]
    fn a_waiting_loop_is_told_with_what_to_do_and_an_idle_exemption_too() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.rs"), "fn again() {\n loop { sleep(pause) } }").unwrap();
        let complaint = check(&Repository::at(directory.path())).unwrap_err();
        let mut lines = complaint.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with("a.rs:2: `again` calls `sleep` in a loop."), "{first}");
        assert!(first.contains("retry, Retry or Redial of vatmux_liveness"), "{first}");
        assert_eq!(lines.filter(|line| line.contains("take it out of EXEMPT")).count(), EXEMPT.len());
    }

    #[test]
    fn a_source_that_cannot_be_read_fails_the_check() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.rs"), "fn (").unwrap();
        assert!(check(&Repository::at(directory.path())).unwrap_err().starts_with("a.rs: "));
    }

    #[test]
    fn nothing_of_the_project_tries_again_by_itself() {
        assert_eq!(check(&Repository::locate().unwrap()), Ok(Skipped::new()));
    }
}
