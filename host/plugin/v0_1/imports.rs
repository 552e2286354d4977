//! What the host offers: log, progress, random numbers, files, clock, HTTP.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dc_graph_node_api::LogLevel;
use wasmtime::component::Resource;

use super::super::budget::Counted;
use super::super::call::Call;
use super::super::fault::Stop;
use super::super::random::Random;
use super::super::{confined, http as web};
use super::bindings::dc_graph::node::{clock, files, host, http, random, types};
use super::buffer::Buffer;
use super::value::image_from_guest;

/// Bytes of random numbers that are made between two looks at the run: whole pairs of numbers.
const PART: usize = 1 << 20;

impl host::Host for Call {
    fn log(&mut self, level: host::LogLevel, message: String) -> wasmtime::Result<()> {
        let level = match level {
            host::LogLevel::Info => LogLevel::Info,
            host::LogLevel::Warning => LogLevel::Warning,
        };
        self.log(level, &message);
        Ok(())
    }

    fn progress(&mut self, step: u32, total: u32) -> wasmtime::Result<()> {
        self.check()?;
        if step > total {
            return Err(Stop::Misuse(format!("tells of step {step} of {total}")).into());
        }
        if self.may_tell() {
            self.context().progress(step.into(), total.into());
        }
        Ok(())
    }

    fn preview(&mut self, image: types::Image) -> wasmtime::Result<()> {
        self.check()?;
        let image = image_from_guest(self, image)?;
        if self.may_tell() {
            self.context().preview(&image);
        }
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.context().is_cancelled())
    }
}

impl Call {
    /// Numbers of 4 bytes, made where they stay.
    fn numbers(&mut self, count: u32, fill: impl Fn(&mut Random, &mut [u8])) -> wasmtime::Result<Resource<Buffer>> {
        let Some(size) = count.checked_mul(4) else {
            return Err(Stop::Misuse(format!("asks for {count} random numbers, which no buffer can hold")).into());
        };
        let mut made = Counted::zeros(size as usize, &self.budget)?;
        // A cancelled call does not wait for a gigabyte of them.
        for part in made.bytes_mut().chunks_mut(PART) {
            fill(&mut self.random, part);
            self.check()?;
        }
        Ok(self.push(Buffer::Made(made.into()))?)
    }

    /// A folder that was granted, or the error to give to the plugin.
    fn folder<'a>(&self, folder: &'a Option<std::path::PathBuf>, capability: &str) -> Result<&'a Path, String> {
        folder.as_deref().ok_or_else(|| self.denied(capability))
    }

    fn denied(&self, capability: &str) -> String {
        format!("`{capability}` is not granted to plugin {}: see `dc-graph plugin grant --help`", self.terms.name)
    }
}

impl random::Host for Call {
    fn seed(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.seed())
    }

    fn next(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }

    fn uniform(&mut self) -> wasmtime::Result<f64> {
        Ok(self.random.uniform())
    }

    fn uniforms(&mut self, count: u32) -> wasmtime::Result<Resource<Buffer>> {
        self.numbers(count, |random, bytes| random.uniforms(bytes))
    }

    fn normals(&mut self, count: u32) -> wasmtime::Result<Resource<Buffer>> {
        self.numbers(count, |random, bytes| random.normals(bytes))
    }
}

impl files::Host for Call {
    fn read(&mut self, path: String) -> wasmtime::Result<Result<Resource<Buffer>, String>> {
        self.check()?;
        let terms = self.terms.clone();
        let left = self.budget.left();
        let read = self
            .folder(&terms.granted.read_folder, "read-folder")
            .map(|folder| confined::read(folder, &path, left.min(u32::MAX.into()), || self.check()));
        match read {
            Ok(read) => match read? {
                Ok(bytes) => Ok(Ok(self.make(bytes)?)),
                Err(problem) => Ok(Err(problem)),
            },
            Err(problem) => Ok(Err(problem)),
        }
    }

    fn entries(&mut self, path: String) -> wasmtime::Result<Result<Vec<files::Entry>, String>> {
        self.check()?;
        let terms = self.terms.clone();
        let folder = self.folder(&terms.granted.read_folder, "read-folder");
        let entries = folder.and_then(|folder| confined::entries(folder, &path));
        let entry = |entry: confined::Entry| files::Entry { name: entry.name, folder: entry.folder, size: entry.size };
        Ok(entries.map(|entries| entries.into_iter().map(entry).collect()))
    }

    fn write(&mut self, path: String, data: Resource<Buffer>) -> wasmtime::Result<Result<(), String>> {
        self.check()?;
        let terms = self.terms.clone();
        let bytes = self.table.get(&data)?.bytes();
        let folder = match self.folder(&terms.granted.write_folder, "write-folder") {
            Ok(folder) => folder,
            Err(problem) => return Ok(Err(problem)),
        };
        // What was written stays, so it counts until the end of the call.
        self.budget.take(bytes.len() as u64)?;
        Ok(confined::write(folder, &path, bytes).map(|file| self.context().wrote(&file)))
    }
}

impl clock::Host for Call {
    fn now(&mut self) -> wasmtime::Result<Result<u64, String>> {
        if !self.terms.granted.clock {
            return Ok(Err(self.denied("clock")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Ok(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl http::Host for Call {
    fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Answer, String>> {
        self.check()?;
        let terms = self.terms.clone();
        if terms.granted.http.is_empty() {
            return Ok(Err(self.denied("http")));
        }
        let question = web::Question {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: request.body,
        };
        let most = self.budget.left().min(u32::MAX.into());
        match web::send(question, &terms.granted.http, most, self.time_left(), || self.check())? {
            Err(problem) => Ok(Err(problem)),
            Ok(answer) => {
                let header = |(name, value)| http::Header { name, value };
                let headers = answer.headers.into_iter().map(header).collect();
                Ok(Ok(http::Answer { status: answer.status, headers, body: self.make(answer.body)? }))
            }
        }
    }
}
