//! The zip container of `torch.save`: entries stored without compression, found by the central directory.
//!
//! Read here, because that is all of zip that is needed, the entries can be used in place, and a general reader would
//! bring eight crates. Checksums are not verified (PyTorch does not either): it would mean reading every byte twice.

use std::collections::BTreeMap;
use std::ops::Range;

use super::mapped::quoted;

/// Where each entry's contents lie in the file.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let (count, mut at, end) = directory(bytes)?;
    let mut entries = BTreeMap::new();
    while at < end {
        let head = Record::new(bytes, at, b"PK\x01\x02", 46).filter(|_| end - at >= 46);
        let head = head.ok_or("the zip directory is damaged")?;
        let (name_len, extra_len, comment_len) = (head.u16(28), head.u16(30), head.u16(32));
        let name = bytes.get(at + 46..at + 46 + name_len).ok_or("the zip directory is damaged")?;
        let name = std::str::from_utf8(name).map_err(|_| "an entry's name is not UTF-8")?.to_string();
        let extra =
            bytes.get(at + 46 + name_len..at + 46 + name_len + extra_len).ok_or("the zip directory is damaged")?;
        let fields = [24, 20, 42].map(|at| head.u32(at));
        let [size, stored, offset] =
            wide(extra, fields).ok_or_else(|| format!("entry {} is damaged", quoted(&name)))?;
        if head.u16(10) != 0 || size != stored {
            return Err(format!(
                "entry {} is compressed; only files as written by `torch.save` are read",
                quoted(&name)
            ));
        }
        if head.u16(8) & 1 != 0 {
            return Err(format!("entry {} is encrypted", quoted(&name)));
        }
        let range =
            contents(bytes, offset, size).ok_or_else(|| format!("entry {} lies outside the file", quoted(&name)))?;
        if let Some(range) = entries.insert(name, range) {
            return Err(format!("two entries of the same name, one at byte {}", range.start));
        }
        at += 46 + name_len + extra_len + comment_len;
    }
    if entries.len() as u64 != count {
        return Err(format!("the zip directory promises {count} entries and lists {}", entries.len()));
    }
    Ok(entries)
}

/// The number of entries and the bounds of the central directory.
fn directory(bytes: &[u8]) -> Result<(u64, usize, usize), String> {
    // The last record is 22 bytes and a comment of at most 65,535.
    let from = bytes.len().saturating_sub(22 + 65_535);
    let last = bytes[from..].windows(4).rposition(|w| w == b"PK\x05\x06").map(|at| from + at);
    let end = last.and_then(|at| Record::new(bytes, at, b"PK\x05\x06", 22).map(|record| (at, record)));
    let Some((at, end)) = end else {
        return Err(
            "not a zip file, or a truncated one (files from before PyTorch 1.6 are not read: load and save them once)"
                .into(),
        );
    };
    let mut found = (end.u16(10) as u64, u64::from(end.u32(12)), u64::from(end.u32(16)));
    // PyTorch always writes the 64-bit form too: a locator in front, pointing at a second record.
    if let Some(locator) = at.checked_sub(20).and_then(|at| Record::new(bytes, at, b"PK\x06\x07", 20)) {
        let record = usize::try_from(locator.u64(8)).ok().and_then(|at| Record::new(bytes, at, b"PK\x06\x06", 56));
        let record = record.ok_or("the zip directory is damaged")?;
        found = (record.u64(32), record.u64(40), record.u64(48));
    }
    let (count, size, start) = found;
    let bounds = usize::try_from(start).ok().zip(start.checked_add(size).and_then(|end| usize::try_from(end).ok()));
    match bounds {
        Some((start, end)) if end <= at => Ok((count, start, end)),
        _ => Err("the zip directory lies outside the file".into()),
    }
}

/// Replaces 32-bit fields that are all ones by the 64-bit ones of extra field 1, which come in the order of `fields`.
fn wide(mut extra: &[u8], fields: [u32; 3]) -> Option<[usize; 3]> {
    let mut values = fields.map(u64::from);
    if values.iter().any(|value| *value == u64::from(u32::MAX)) {
        let mut numbers = loop {
            let (id, rest) = extra.split_first_chunk::<2>()?;
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let len = usize::from(u16::from_le_bytes(*len));
            if u16::from_le_bytes(*id) == 1 {
                break rest.get(..len)?.chunks_exact(8);
            }
            extra = rest.get(len..)?;
        };
        for value in values.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
            *value = u64::from_le_bytes(numbers.next()?.try_into().ok()?);
        }
    }
    let [a, b, c] = values.map(|value| usize::try_from(value).ok());
    Some([a?, b?, c?])
}

/// The contents behind the local header at `offset`, whose name and extra field have lengths of their own.
fn contents(bytes: &[u8], offset: usize, size: usize) -> Option<Range<usize>> {
    let head = Record::new(bytes, offset, b"PK\x03\x04", 30)?;
    let start = offset + 30 + head.u16(26) + head.u16(28);
    let end = start.checked_add(size)?;
    (end <= bytes.len()).then_some(start..end)
}

/// A record of fixed length that begins with a signature.
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn new(bytes: &'a [u8], at: usize, signature: &[u8; 4], len: usize) -> Option<Self> {
        let record = bytes.get(at..at.checked_add(len)?)?;
        record.starts_with(signature).then_some(Self(record))
    }

    fn u16(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn u32(&self, at: usize) -> u32 {
        (self.u16(at) | self.u16(at + 2) << 16) as u32
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }
}
