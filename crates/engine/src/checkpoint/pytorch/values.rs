//! What a pickle of a state dict consists of, and the three calls that it may ask for.

use super::subject::Subject;
use crate::Result;
use safetensors::tensor::Dtype;

/// A value, as far as tensors are concerned. Collections are in the [`Heap`], so that values are never
/// nested: neither reading nor dropping them recurses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// Values without a meaning for tensors: `None`, fractions, bytes, sets.
    Opaque,
    Boolean(bool),
    Integer(i64),
    Text(&'a str),
    Global(Global),
    Tuple(Tuple),
    /// Position in [`Heap::lists`].
    List(usize),
    /// Position in [`Heap::dicts`].
    Dict(usize),
    /// Position in [`Heap::storages`].
    Storage(usize),
    /// Position in [`Heap::tensors`].
    Tensor(usize),
}

/// What a state dict may ask for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// As PyTorch before 0.4 called it.
    RebuildOldTensor,
    RebuildTensor,
    RebuildTypedTensor,
    RebuildParameter,
    Storage(Dtype),
    /// Bytes, to which the tensor gives the type.
    UntypedStorage,
    DataType(Dtype),
}

const GLOBALS: [(&str, &str, Global); 33] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor", Global::RebuildOldTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v3", Global::RebuildTypedTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch", "FloatStorage", Global::Storage(Dtype::F32)),
    ("torch", "HalfStorage", Global::Storage(Dtype::F16)),
    ("torch", "BFloat16Storage", Global::Storage(Dtype::BF16)),
    ("torch", "DoubleStorage", Global::Storage(Dtype::F64)),
    ("torch", "LongStorage", Global::Storage(Dtype::I64)),
    ("torch", "IntStorage", Global::Storage(Dtype::I32)),
    ("torch", "ShortStorage", Global::Storage(Dtype::I16)),
    ("torch", "CharStorage", Global::Storage(Dtype::I8)),
    ("torch", "ByteStorage", Global::Storage(Dtype::U8)),
    ("torch", "BoolStorage", Global::Storage(Dtype::BOOL)),
    ("torch.storage", "UntypedStorage", Global::UntypedStorage),
    ("torch", "float32", Global::DataType(Dtype::F32)),
    ("torch", "float16", Global::DataType(Dtype::F16)),
    ("torch", "bfloat16", Global::DataType(Dtype::BF16)),
    ("torch", "float64", Global::DataType(Dtype::F64)),
    ("torch", "int64", Global::DataType(Dtype::I64)),
    ("torch", "int32", Global::DataType(Dtype::I32)),
    ("torch", "int16", Global::DataType(Dtype::I16)),
    ("torch", "int8", Global::DataType(Dtype::I8)),
    ("torch", "uint8", Global::DataType(Dtype::U8)),
    ("torch", "bool", Global::DataType(Dtype::BOOL)),
    ("torch", "uint16", Global::DataType(Dtype::U16)),
    ("torch", "uint32", Global::DataType(Dtype::U32)),
    ("torch", "uint64", Global::DataType(Dtype::U64)),
    ("torch", "float8_e4m3fn", Global::DataType(Dtype::F8_E4M3)),
    ("torch", "float8_e4m3fnuz", Global::DataType(Dtype::F8_E4M3FNUZ)),
    ("torch", "float8_e5m2", Global::DataType(Dtype::F8_E5M2)),
    ("torch", "float8_e5m2fnuz", Global::DataType(Dtype::F8_E5M2FNUZ)),
];

impl Global {
    /// What `module.name` stands for, if a state dict may ask for it.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        let known = GLOBALS.iter().find(|(of, called, _)| (*of, *called) == (module, name));
        known.map(|(.., global)| *global)
    }

    fn name(self) -> String {
        let known = GLOBALS.iter().find(|(.., global)| *global == self);
        known.map_or_else(String::new, |(module, name, _)| format!("{module}.{name}"))
    }
}

/// Items of a tuple: a range of [`Heap::items`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    start: usize,
    end: usize,
}

/// Elements in the file, as the pickle describes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    /// Its name, in a container below `data/`.
    pub(super) key: &'a str,
    /// Element type; `None` when elements are bytes of no type.
    pub(super) data_type: Option<Dtype>,
    /// Length in elements.
    pub(super) element_count: i64,
    /// The part of it that is meant, in elements from its start; all of it without one.
    pub(super) part: Option<Part>,
}

/// A part of a storage that had a storage of its own in PyTorch before 1.6.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The first element.
    pub(super) start: i64,
    /// Length in elements.
    pub(super) element_count: i64,
}

/// A view of a storage, as the pickle describes it: nothing is checked yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) data_type: Dtype,
    /// In elements from the start of the storage.
    pub(super) offset: i64,
    pub(super) shape: Tuple,
    pub(super) strides: Tuple,
}

/// The tuples, lists, dictionaries, storages and tensors of a pickle.
#[derive(Debug)]
pub(super) struct Heap<'a> {
    subject: Subject<'a>,
    items: Vec<Value<'a>>,
    lists: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(&'a str, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Heap<'a> {
    pub(super) const fn new(subject: Subject<'a>) -> Self {
        Self {
            subject,
            items: Vec::new(),
            lists: Vec::new(),
            dicts: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
        }
    }

    pub(super) fn add_list(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.lists.push(items);
        Value::List(self.lists.len() - 1)
    }

    /// Adds `items` to the end of a list.
    pub(super) fn extend(&mut self, list: usize, items: &[Value<'a>]) {
        self.lists[list].extend_from_slice(items);
    }

    pub(super) fn list(&self, list: usize) -> &[Value<'a>] {
        &self.lists[list]
    }

    /// All storages that the pickle names, as often as it names them.
    pub(super) fn storages(&self) -> &[Storage<'a>] {
        &self.storages
    }

    pub(super) fn add_tuple(&mut self, items: &[Value<'a>]) -> Value<'a> {
        let start = self.items.len();
        self.items.extend_from_slice(items);
        Value::Tuple(Tuple { start, end: self.items.len() })
    }

    pub(super) fn add_dict(&mut self) -> Value<'a> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// Adds an entry to a dictionary; keys that are no text name no tensors.
    pub(super) fn insert(&mut self, dict: usize, key: Value<'a>, value: Value<'a>) {
        if let Value::Text(key) = key {
            self.dicts[dict].push((key, value));
        }
    }

    pub(super) fn items(&self, tuple: Tuple) -> &[Value<'a>] {
        &self.items[tuple.start..tuple.end]
    }

    /// Entries in the order in which they were added.
    pub(super) fn entries(&self, dict: usize) -> &[(&'a str, Value<'a>)] {
        &self.dicts[dict]
    }

    pub(super) fn tensor(&self, position: usize) -> Tensor<'a> {
        self.tensors[position]
    }

    /// What a persistent id stands for: always a storage.
    pub(super) fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>> {
        let items = if let Value::Tuple(tuple) = id { self.items(tuple) } else { &[] };
        let &[
            Value::Text("storage"),
            Value::Global(kind),
            Value::Text(key),
            _,
            Value::Integer(element_count),
            ref rest @ ..,
        ] = items
        else {
            return Err(self.subject.damaged("its pickle names a storage as no checkpoint does"));
        };
        let part = self.part(rest)?;
        let data_type = match kind {
            Global::Storage(data_type) => Some(data_type),
            Global::UntypedStorage => None,
            other => {
                return Err(self.subject.damaged(format!("its pickle names a storage of type `{}`", other.name())));
            }
        };
        self.storages.push(Storage { key, data_type, element_count, part });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    /// What PyTorch before 1.6 adds to the name of a storage: nothing, or the name, start and length of a part of it.
    fn part(&self, rest: &[Value<'a>]) -> Result<Option<Part>> {
        match rest {
            [] | [Value::Opaque] => Ok(None),
            &[Value::Tuple(part)] => match self.items(part) {
                &[Value::Text(_), Value::Integer(start), Value::Integer(element_count)] => {
                    Ok(Some(Part { start, element_count }))
                }
                _ => Err(self.subject.damaged("its pickle names a part of a storage as no checkpoint does")),
            },
            _ => Err(self.subject.damaged("its pickle names a storage as no checkpoint does")),
        }
    }

    /// What a call of `callable` stands for. Nothing is called.
    pub(super) fn call(&mut self, callable: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>> {
        let (Value::Global(global), Value::Tuple(tuple)) = (callable, arguments) else {
            return Err(self.subject.damaged("its pickle calls something that is not a function"));
        };
        match (global, self.items(tuple)) {
            (Global::OrderedDict, []) => Ok(self.add_dict()),
            (Global::OrderedDict, &[Value::List(list)]) => Ok(self.dict_of(list)),
            (
                Global::RebuildOldTensor,
                &[Value::Storage(storage), Value::Integer(offset), Value::Tuple(shape), Value::Tuple(strides)],
            )
            | (
                Global::RebuildTensor,
                &[Value::Storage(storage), Value::Integer(offset), Value::Tuple(shape), Value::Tuple(strides), _, _],
            ) => {
                let storage = self.storages[storage];
                let untyped = || self.subject.damaged("its pickle has a tensor without an element type");
                let data_type = storage.data_type.ok_or_else(untyped)?;
                Ok(self.add_tensor(Tensor { storage, data_type, offset, shape, strides }))
            }
            (
                Global::RebuildTypedTensor,
                &[
                    Value::Storage(storage),
                    Value::Integer(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    _,
                    _,
                    Value::Global(Global::DataType(data_type)),
                ],
            ) => {
                let storage = self.storages[storage];
                Ok(self.add_tensor(Tensor { storage, data_type, offset, shape, strides }))
            }
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), _, _]) => Ok(tensor),
            _ => {
                let message = format!("its pickle calls `{}` as no plain dictionary of tensors does", global.name());
                Err(self.subject.unsupported(message))
            }
        }
    }

    /// A dictionary of a list of pairs, as Python 2 wrote it.
    fn dict_of(&mut self, list: usize) -> Value<'a> {
        let pair = |item: &Value<'a>| match item {
            Value::List(pair) => self.lists[*pair].first_chunk().copied(),
            Value::Tuple(pair) => self.items(*pair).first_chunk().copied(),
            _ => None,
        };
        let pairs: Vec<[Value<'a>; 2]> = self.lists[list].iter().filter_map(pair).collect();
        // A list that is used again and again would make more entries than the file has bytes.
        self.lists[list] = Vec::new();
        let dict = self.add_dict();
        for [key, value] in pairs {
            self.insert(self.dicts.len() - 1, key, value);
        }
        dict
    }

    fn add_tensor(&mut self, tensor: Tensor<'a>) -> Value<'a> {
        self.tensors.push(tensor);
        Value::Tensor(self.tensors.len() - 1)
    }
}
