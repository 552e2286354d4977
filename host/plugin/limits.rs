//! What one call of a plugin may use up.

use serde::{Deserialize, Serialize};

/// Limits of one call. Those that a plugin's manifest or a user's settings leave out are the defaults of where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all its instances together, in MiB.
    pub memory_mib: u32,
    /// Time, in seconds.
    pub seconds: u32,
    /// What the host holds for it, beside what it was given: buffers it makes, files it reads and writes; in MiB.
    pub buffers_mib: u32,
    /// What one function call carries from the plugin to the host, in MiB.
    pub transfer_mib: u32,
    /// Text of the log, in KiB.
    pub log_kib: u32,
    /// Instances of core modules.
    pub instances: u32,
    /// Memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// Elements of each table.
    pub table_elements: u32,
    /// The stack of its functions, in KiB.
    pub stack_kib: u32,
}

/// The `[limits]` table of a manifest or of a user's settings: what is to differ from the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(missing_docs)] // as in `Limits`
pub struct LimitsTable {
    pub memory_mib: Option<u32>,
    pub seconds: Option<u32>,
    pub buffers_mib: Option<u32>,
    pub transfer_mib: Option<u32>,
    pub log_kib: Option<u32>,
    pub instances: Option<u32>,
    pub memories: Option<u32>,
    pub tables: Option<u32>,
    pub table_elements: Option<u32>,
    pub stack_kib: Option<u32>,
}

impl Limits {
    /// What a plugin gets that asks for nothing else: enough for pictures of 4096x4096.
    pub const DEFAULT: Self = Self {
        memory_mib: 1024,
        seconds: 60,
        buffers_mib: 1024,
        transfer_mib: 512,
        log_kib: 1024,
        instances: 64,
        memories: 8,
        tables: 64,
        table_elements: 20_000,
        stack_kib: 1024,
    };

    /// The most that a plugin can ask for, unless the user says otherwise.
    pub const CEILING: Self = Self {
        memory_mib: 4096,
        seconds: 3600,
        buffers_mib: 4096,
        transfer_mib: 2048,
        log_kib: 16_384,
        instances: 256,
        memories: 32,
        tables: 256,
        table_elements: 1_000_000,
        stack_kib: 16_384,
    };

    /// These limits with those of a table in their place.
    pub fn with(self, table: &LimitsTable) -> Self {
        Self {
            memory_mib: table.memory_mib.unwrap_or(self.memory_mib),
            seconds: table.seconds.unwrap_or(self.seconds),
            buffers_mib: table.buffers_mib.unwrap_or(self.buffers_mib),
            transfer_mib: table.transfer_mib.unwrap_or(self.transfer_mib),
            log_kib: table.log_kib.unwrap_or(self.log_kib),
            instances: table.instances.unwrap_or(self.instances),
            memories: table.memories.unwrap_or(self.memories),
            tables: table.tables.unwrap_or(self.tables),
            table_elements: table.table_elements.unwrap_or(self.table_elements),
            stack_kib: table.stack_kib.unwrap_or(self.stack_kib),
        }
    }

    /// Each limit by the name that manifests give it.
    pub fn named(&self) -> [(&'static str, u32); 10] {
        [
            ("memory-mib", self.memory_mib),
            ("seconds", self.seconds),
            ("buffers-mib", self.buffers_mib),
            ("transfer-mib", self.transfer_mib),
            ("log-kib", self.log_kib),
            ("instances", self.instances),
            ("memories", self.memories),
            ("tables", self.tables),
            ("table-elements", self.table_elements),
            ("stack-kib", self.stack_kib),
        ]
    }

    /// The limits of a plugin that asks for `table`: a ceiling below a default lowers it; asking for more than a ceiling is
    /// refused.
    ///
    /// # Errors
    /// The name of the first limit that is above its ceiling, what is asked for, and the ceiling.
    pub fn asked(table: &LimitsTable, ceiling: &Self) -> Result<Self, (&'static str, u32, u32)> {
        let lowered = Self::DEFAULT.lowered_to(ceiling).with(table);
        match lowered.named().into_iter().zip(ceiling.named()).find(|((_, asked), (_, most))| asked > most) {
            Some(((name, asked), (_, most))) => Err((name, asked, most)),
            None => Ok(lowered),
        }
    }

    fn lowered_to(self, ceiling: &Self) -> Self {
        Self {
            memory_mib: self.memory_mib.min(ceiling.memory_mib),
            seconds: self.seconds.min(ceiling.seconds),
            buffers_mib: self.buffers_mib.min(ceiling.buffers_mib),
            transfer_mib: self.transfer_mib.min(ceiling.transfer_mib),
            log_kib: self.log_kib.min(ceiling.log_kib),
            instances: self.instances.min(ceiling.instances),
            memories: self.memories.min(ceiling.memories),
            tables: self.tables.min(ceiling.tables),
            table_elements: self.table_elements.min(ceiling.table_elements),
            stack_kib: self.stack_kib.min(ceiling.stack_kib),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_ask_below_the_ceiling() {
        let ceiling = Limits { seconds: 30, ..Limits::CEILING };
        let ask = |seconds, memory_mib| {
            let table = LimitsTable { seconds, memory_mib, ..LimitsTable::default() };
            Limits::asked(&table, &ceiling).map(|limits| (limits.seconds, limits.memory_mib))
        };
        assert_eq!(ask(None, None), Ok((30, 1024)), "the ceiling is below the default");
        assert_eq!(ask(Some(10), Some(2048)), Ok((10, 2048)));
        assert_eq!(ask(Some(31), None), Err(("seconds", 31, 30)));
        assert_eq!(ask(None, Some(5000)), Err(("memory-mib", 5000, 4096)));
        assert_eq!(Limits::asked(&LimitsTable::default(), &Limits::CEILING), Ok(Limits::DEFAULT));
    }
}
