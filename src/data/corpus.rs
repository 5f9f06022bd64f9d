//! What every loader yields: clips of variable-length feature sequences, one per modality, with a sentiment label.

/// The features of one modality of one clip: `len` steps of `dim` features, row-major, no padding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequence {
    /// Steps that are real.
    pub len: usize,
    /// `len * dim` values, step by step.
    pub values: Vec<f32>,
}

/// A modality's name ("text", "audio", "video") and feature size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modality {
    pub name: String,
    pub dim: usize,
}

/// One utterance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clip {
    pub id: String,
    /// The words as spoken; may be empty where the source has none.
    pub text: String,
    /// One sequence per modality, in the order of [`Corpus::modalities`].
    pub sequences: Vec<Sequence>,
    /// Sentiment in [-3, 3] (MOSI, MOSEI) or [-1, 1] (CH-SIMS), or what else [`Corpus::labels`] says.
    pub label: f32,
    /// Which of [`Corpus::emotions`] it shows, where that is known.
    pub emotion: Option<u32>,
}

/// What the labels of clips mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Labels {
    /// How negative or positive a clip is.
    #[default]
    Sentiment,
    /// 1 where the clip is `name` ("happy"), 0 where not.
    Binary { name: String },
}

/// Train, validation and test clips over the same modalities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corpus {
    /// What the data is, for people: "MMSA pickle mosi_aligned_50.pkl", "built-in corpus, seed 7".
    pub name: String,
    pub modalities: Vec<Modality>,
    pub labels: Labels,
    /// The names of the emotions that clips are labelled with; empty where they are not.
    pub emotions: Vec<String>,
    pub train: Vec<Clip>,
    pub valid: Vec<Clip>,
    pub test: Vec<Clip>,
}

/// One of the three parts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Valid,
    Test,
}

impl Split {
    /// All three, in the order of [`Corpus`].
    pub const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

    /// "train", "valid" or "test".
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

impl Corpus {
    /// The clips of `split`.
    pub fn split(&self, split: Split) -> &[Clip] {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }
}
