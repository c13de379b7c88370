//! Values that can be written for a type.

use super::author::Author;
use super::types::{Named, Type};
use super::world::{Id, Kind, Member, MemberKind};

const TEXTS: [&str; 9] = [
    r#""""#,
    r#""plain""#,
    r#""two words""#,
    r#""\"quoted\" \\ \'apostrophes\'""#,
    r#""\a\b\f\n\r\t\v""#,
    r#""\x41\x7f\101\0""#,
    r#""grüße, 世界""#,
    r#""in " "pieces""#,
    r##""# no comment""##,
];

const DATA: [&str; 5] =
    [r#"0x"00""#, r#"0x"de ad be ef""#, r#"0x"DEADbeef00 11""#, r#""as text""#, r#""\xff\x00""#];

const FLOATS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "1.5",
    "-0.25",
    "1e10",
    "1.25e-3",
    "-3E+5",
    "inf",
    "-inf",
    "nan",
    "0.1",
    "123456789",
    "16777217",
    "3.4028235e38",
    "0x1f",
];

impl Author {
    /// A value of a type in the words of the language; `None` where none can be written.
    pub(super) fn value(&mut self, ty: &Type, at: Id, depth: u32) -> Option<String> {
        if self.random.u32(0..8) == 0
            && let Some(constant) = self.constant(ty, at)
        {
            return Some(constant);
        }
        match ty {
            Type::Plain(name) => self.plain_value(name),
            Type::Parameter(_) => None,
            Type::List(element) => {
                let count = if depth == 0 { 0 } else { self.random.u32(0..5) };
                let elements: Option<Vec<_>> =
                    (0..count).map(|_| self.value(element, at, depth.saturating_sub(1))).collect();
                Some(format!("[{}]", elements?.join(", ")))
            }
            Type::Named(Named { id, .. }) => match &self.world.get(*id).kind {
                Kind::Enum(enumerants) => {
                    let enumerants = enumerants.clone();
                    (!enumerants.is_empty())
                        .then(|| enumerants[self.random.usize(..enumerants.len())].clone())
                }
                Kind::Struct(members) => {
                    let members = members.clone();
                    let mut fields = Vec::new();
                    self.fields(&members, at, depth, &mut fields);
                    Some(format!("({})", fields.join(", ")))
                }
                _ => None,
            },
        }
    }

    fn plain_value(&mut self, name: &str) -> Option<String> {
        let bits = match name {
            "Void" => return Some("void".into()),
            "Bool" => return Some(self.random.bool().to_string()),
            "Float32" | "Float64" => return Some(self.one_of(&FLOATS).to_owned()),
            "Text" => return Some(self.one_of(&TEXTS).to_owned()),
            "Data" => return Some(self.one_of(&DATA).to_owned()),
            _ => name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse::<u32>().ok()?,
        };
        let most = if name.starts_with('U') { u64::MAX >> (64 - bits) } else { u64::MAX >> (65 - bits) };
        let value = match self.random.u32(0..4) {
            0 => most,
            1 => 0,
            2 => self.random.u64(0..=most.min(99)),
            _ => self.random.u64(0..=most),
        };
        let is_negative = !name.starts_with('U') && self.random.bool();
        // The least value has one more than the greatest.
        let value = if is_negative && value == most { most + 1 } else { value };
        let sign = if is_negative { "-" } else { "" };
        Some(match self.random.u32(0..6) {
            0 => format!("{sign}{value:#x}"),
            1 => format!("{sign}0{value:o}"),
            _ => format!("{sign}{value}"),
        })
    }

    /// The name of a constant of this very type, one of those that may be named, so that none leads back to itself.
    fn constant(&mut self, ty: &Type, at: Id) -> Option<String> {
        let constants: Vec<_> = (0..self.world.declarations.len().min(self.constants_below))
            .filter(|id| matches!(&self.world.get(*id).kind, Kind::Constant(other) if other == ty))
            .collect();
        let id = *constants.get(self.random.usize(..constants.len().max(1)))?;
        let name = self.name(id, at, &[]);
        // Alone it could be an enumerant, and is refused.
        name.contains('.').then_some(name)
    }

    /// Values for some of the fields, of a union for one at most.
    fn fields(&mut self, members: &[Member], at: Id, depth: u32, fields: &mut Vec<String>) {
        for member in members {
            if self.random.u32(0..5) < 2 {
                self.field(member, at, depth, fields);
            }
        }
    }

    fn field(&mut self, member: &Member, at: Id, depth: u32, fields: &mut Vec<String>) {
        match &member.kind {
            MemberKind::Field { ty, .. } => {
                if depth > 0
                    && let Some(value) = self.value(ty, at, depth - 1)
                {
                    fields.push(format!("{} = {value}", member.name));
                }
            }
            MemberKind::Group(members) => {
                let mut inside = Vec::new();
                self.fields(members, at, depth, &mut inside);
                fields.push(format!("{} = ({})", member.name, inside.join(", ")));
            }
            MemberKind::Union { members, .. } => {
                let mut inside = Vec::new();
                let chosen = self.random.usize(..members.len());
                self.field(&members[chosen], at, depth, &mut inside);
                if member.name.is_empty() {
                    fields.append(&mut inside);
                } else {
                    fields.push(format!("{} = ({})", member.name, inside.join(", ")));
                }
            }
        }
    }
}
