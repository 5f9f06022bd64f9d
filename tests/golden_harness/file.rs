//! A golden file and the cases in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use limbic::weights::{self, Tensor, Tensors};
use serde_json::Value;

/// The first part of a key that is handed to limbic; every other key is expected back from it.
const GIVEN: [&str; 5] = ["input", "param", "buffer", "cotangent", "stable"];

/// Tensors by key, with the settings that belong to them.
pub struct GoldenFile {
    label: String,
    tensors: Tensors,
    /// The sidecar's content, or the `meta` of the safetensors header where there is no sidecar.
    pub meta: Value,
    f32_dev: BTreeMap<String, f64>,
}

impl GoldenFile {
    /// Reads `path` and the `.json` beside it. `label` is what reports call it.
    pub fn read(path: &Path, label: &str) -> Result<Self, String> {
        let (tensors, metadata) = weights::read_with_metadata(path).map_err(|error| error.to_string())?;
        let sidecar = path.with_extension("json");
        let meta = if sidecar.exists() {
            weights::read_json(&sidecar).map_err(|error| error.to_string())?
        } else if let Some(text) = metadata.get("meta") {
            serde_json::from_str(text).map_err(|error| format!("{label}: metadata 'meta': {error}"))?
        } else {
            Value::Null
        };
        Ok(GoldenFile::new(label, tensors, meta))
    }

    /// A file from its parts.
    pub fn new(label: &str, tensors: Tensors, meta: Value) -> Self {
        // Entries are [largest deviation, largest value]; one entry, "_", is a remark.
        let deviations = meta.get("f32_dev").and_then(Value::as_object).into_iter().flatten();
        let f32_dev = deviations.filter_map(|(key, pair)| Some((key.clone(), pair.get(0)?.as_f64()?))).collect();
        GoldenFile { label: label.into(), tensors, meta, f32_dev }
    }

    /// What it is about: "ops_attention", "metrics", "msa_uni_mean_pre"; its file name if it does not say.
    pub fn kind(&self) -> &str {
        let file_name = || self.label.rsplit('/').next().unwrap_or_default();
        self.meta.get("case").and_then(Value::as_str).unwrap_or_else(file_name)
    }

    /// A tensor by its whole key, such as "shared/grad0/a".
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// An op file's cases, each with its settings; any other file is one case.
    pub fn cases(&self) -> Vec<Case<'_>> {
        let Some(settings) = self.meta.get("cases").and_then(Value::as_object) else {
            return vec![Case { file: self, name: None }];
        };
        // A case that has tensors but no settings is a case all the same.
        let with_tensors = self.tensors.iter().filter_map(|(key, _)| key.split_once('/')).map(|(name, _)| name);
        let names: BTreeSet<&str> = settings.keys().map(String::as_str).chain(with_tensors).collect();
        names.into_iter().filter(|&name| name != "shared").map(|name| Case { file: self, name: Some(name) }).collect()
    }
}

/// One case: a whole model file, or the part of an op file whose keys start with its name.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub file: &'a GoldenFile,
    /// Its name within an op file.
    pub name: Option<&'a str>,
}

impl<'a> Case<'a> {
    /// "ops/ops_norm/layer_norm_plain", "msa_bi_attn_pre".
    pub fn label(&self) -> String {
        match self.name {
            Some(name) => format!("{}/{name}", self.file.label),
            None => self.file.label.clone(),
        }
    }

    /// The settings of an op case, or all that the sidecar of a model says. Null for none.
    pub fn settings(&self) -> &'a Value {
        match self.name {
            Some(name) => &self.file.meta["cases"][name],
            None => &self.file.meta,
        }
    }

    /// The key within the file for a key within the case.
    pub fn full_key(&self, key: &str) -> String {
        match self.name {
            Some(name) => format!("{name}/{key}"),
            None => key.into(),
        }
    }

    /// The tensor at a key within the case, such as "input/x" or "param/head.kernel".
    pub fn get(&self, key: &str) -> Option<&'a Tensor> {
        self.file.tensors.get(&self.full_key(key))
    }

    /// As [`Case::get`], with a sentence where it is missing.
    pub fn need(&self, key: &str) -> Result<&'a Tensor, String> {
        self.get(key).ok_or_else(|| format!("the file has no '{}'", self.full_key(key)))
    }

    /// Every tensor of the case by its key within the case.
    pub fn tensors(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        let name = self.name;
        self.file.tensors.iter().filter_map(move |(key, tensor)| match name {
            Some(name) => key.strip_prefix(name)?.strip_prefix('/').map(|key| (key, tensor)),
            None => Some((key, tensor)),
        })
    }

    /// The tensors below `group`, without it: `group("input")`, `group("grad/param")`, `group("after/adamw3")`.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        let prefix = format!("{group}/");
        self.tensors().filter_map(move |(key, tensor)| Some((key.strip_prefix(&prefix)?, tensor)))
    }

    pub fn inputs(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        self.group("input")
    }

    pub fn outputs(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        self.group("output")
    }

    /// What the outputs are multiplied with before they are summed and differentiated.
    pub fn cotangents(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        self.group("cotangent")
    }

    /// Every gradient; in a model file the names start with "param/" or "input/".
    pub fn grads(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + use<'a> {
        self.group("grad")
    }

    /// The keys that limbic is to give back.
    pub fn expected(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let given = |key: &str| GIVEN.contains(&key.split('/').next().unwrap_or_default());
        self.tensors().map(|(key, _)| key).filter(move |key| !given(key))
    }

    /// The largest deviation of the library's own float32 run in the tensor at `key`; 0 where the file does not say.
    pub fn f32_dev(&self, key: &str) -> f64 {
        self.file.f32_dev.get(&self.full_key(key)).copied().unwrap_or(0.0)
    }
}
