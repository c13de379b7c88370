//! The test double of an interface: a server whose answers are said by a test.

use std::fmt::Write as _;

use super::{Emitter, Interface};
use crate::Error;

impl Emitter<'_, '_> {
    pub(super) fn double(&mut self, interface: &Interface<'_>) -> Result<(), Error> {
        let Interface { word, name, .. } = interface;
        let double = format!("{word}Double");
        self.claim(&double, &format!("the test double of {name}"))?;
        let mut lineage = vec![self.interface(interface.id, None)?];
        for ancestor in &interface.ancestors {
            lineage.push(self.interface(*ancestor, None)?);
        }
        let (mut members, mut scripts, mut servers) = (String::new(), String::new(), String::new());
        for part in &lineage {
            let mut methods = String::new();
            for shape in &part.shapes {
                let rust = &shape.name;
                let taken = shape.taken(&self.types);
                let kinds: Vec<&str> = taken.iter().map(|(_, kind)| kind.as_str()).collect();
                let arguments: Vec<&str> = taken.iter().map(|(name, _)| name.as_str()).collect();
                let outcome = shape.outcome_type(&self.types);
                let script = format!("dyn Fn({}) -> {outcome}", kinds.join(", "));
                let _ = writeln!(members, "{rust}: Option<Box<{script}>>,");
                let _ = writeln!(
                    scripts,
                    "/// Has `{}` answered by this.
                    #[must_use]
                    pub fn on_{rust}(mut self, answer: impl Fn({}) -> {outcome} + 'static) -> Self {{
                        self.{rust} = Some(Box::new(answer));
                        self
                    }}",
                    shape.method.name,
                    kinds.join(", ")
                );
                let call = shape.fresh("call");
                let _ = writeln!(
                    methods,
                    "async fn {rust}(&self, {call}: &service::Call{}) -> {outcome} {{
                        match &self.{rust} {{
                            Some(answer) => answer({}),
                            None => Err(service::testing::unscripted({call}){}),
                        }}
                    }}",
                    shape.server_parameters(&self.types),
                    arguments.join(", "),
                    if shape.status.is_some() { ".into()" } else { "" }
                );
            }
            let _ = writeln!(servers, "impl {}Server for {double} {{ {methods} }}", part.word);
        }
        let _ = writeln!(
            self.out,
            "/// A server of `{name}` for tests: it answers as the test says, and whatever the test says nothing of with an
            /// exception that names the method.
            #[derive(Default)]
            #[allow(clippy::type_complexity, reason = \"each is what its method takes and gives\")]
            pub struct {double} {{ {members} }}"
        );
        if !scripts.is_empty() {
            let _ = writeln!(self.out, "impl {double} {{ {scripts} }}");
        }
        self.out.push_str(&servers);
        Ok(())
    }
}
