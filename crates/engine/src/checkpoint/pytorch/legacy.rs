//! What PyTorch 0.1.10 to 1.5 wrote: five pickles, one after the other, and the storages behind them (`_legacy_save` in
//! `torch/serialization.py`). The pickles are a magic number, the number of the protocol, facts of the machine, the dictionary
//! of tensors, and the keys of the storages in their order. A storage is its length in elements, eight bytes, and the elements.

use super::archive::MAX_PICKLE_BYTE_COUNT;
use super::file::{byte_width, tensors_of};
use super::pickle::{Loaded, load};
use super::subject::{Subject, shown};
use super::values::{Storage, Value};
use crate::Result;
use crate::checkpoint::StoredTensor;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

/// The magic number as a pickle, with which every such file begins.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
const PROTOCOL: i64 = 1001;

/// Bytes of the pickles that are read at first; as many again until all of them are there.
const FIRST_BYTE_COUNT: u64 = 1 << 20;

/// The tensors of the file, in file order.
///
/// # Errors
/// Another protocol, big-endian numbers, and damage of any kind.
pub(super) fn legacy_tensors(subject: Subject<'_>) -> Result<Vec<StoredTensor>> {
    let mut file = fs_err::File::open(subject.0)?;
    let length = file.metadata()?.len();
    let mut pickles = Vec::new();
    let mut wanted = FIRST_BYTE_COUNT;
    loop {
        file.by_ref().take(wanted - pickles.len() as u64).read_to_end(&mut pickles)?;
        let is_whole = wanted >= length.min(MAX_PICKLE_BYTE_COUNT);
        match Pickles::read(&pickles, subject) {
            Ok(pickles) => return pickles.tensors(&mut file, length, subject),
            Err(error) if is_whole => return Err(error),
            Err(_) => wanted *= 2,
        }
    }
}

/// The pickles that matter.
struct Pickles<'a> {
    state: Loaded<'a>,
    /// Keys of the storages in the order in which they follow.
    keys: Vec<&'a str>,
    byte_count: u64,
}

impl<'a> Pickles<'a> {
    fn read(bytes: &'a [u8], subject: Subject<'a>) -> Result<Self> {
        let mut at = MAGIC.len().min(bytes.len());
        let mut next = || {
            let loaded = load(&bytes[at..], subject)?;
            at += loaded.byte_count;
            Ok::<_, crate::Error>(loaded)
        };
        match next()?.value {
            Value::Integer(PROTOCOL) => {}
            _ => return Err(subject.unsupported(format!("its protocol is not {PROTOCOL}"))),
        }
        let machine = next()?;
        let little = match machine.value {
            Value::Dict(dict) => machine.heap.entries(dict).iter().find(|(key, _)| *key == "little_endian"),
            _ => None,
        };
        if !matches!(little, Some((_, Value::Boolean(true)))) {
            return Err(subject.unsupported("its byte order is not `little`"));
        }
        let state = next()?;
        let keys = next()?;
        let Value::List(list) = keys.value else { return Err(subject.damaged("it has no list of storages")) };
        let key = |key: &Value<'a>| match key {
            Value::Text(key) => Ok(*key),
            _ => Err(subject.damaged("the name of a storage is not text")),
        };
        let keys = keys.heap.list(list).iter().map(key).collect::<Result<_>>()?;
        Ok(Self { state, keys, byte_count: at as u64 })
    }

    fn tensors(self, file: &mut fs_err::File, length: u64, subject: Subject<'_>) -> Result<Vec<StoredTensor>> {
        let mut known: BTreeMap<&str, Storage<'_>> = BTreeMap::new();
        for storage in self.state.heap.storages() {
            known.insert(storage.key, *storage);
        }
        let mut places: BTreeMap<&str, Range<u64>> = BTreeMap::new();
        let mut at = self.byte_count;
        for key in &self.keys {
            let unknown = || subject.damaged(format!("no tensor is in its storage `{}`", shown(key)));
            let width = known.get(key).ok_or_else(unknown)?.data_type.map_or(1, byte_width);
            let end = || subject.damaged(format!("storage `{}` ends beyond the file", shown(key)));
            let mut count = [0; 8];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut count).map_err(|_| end())?;
            let byte_count = u64::from_le_bytes(count).checked_mul(width).ok_or_else(end)?;
            let place = at + 8..(at + 8).checked_add(byte_count).filter(|place| *place <= length).ok_or_else(end)?;
            at = place.end;
            if places.insert(key, place).is_some() {
                return Err(subject.damaged(format!("it has two storages `{}`", shown(key))));
            }
        }
        tensors_of(self.state.value, &self.state.heap, &places, subject)
    }
}
