//! A written picture, read back: well-formed XML, its texts, and where each of them stands.

use std::path::{Path, PathBuf};

/// One text of a picture with its estimated box, in pixels.
#[derive(Debug, Clone)]
pub struct Label {
    pub text: String,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// A picture as a reader sees it.
pub struct Sheet {
    pub labels: Vec<Label>,
    pub source: String,
    width: f64,
    height: f64,
}

/// Where the test `name` writes; stays there for people to look at.
pub fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.svg"))
}

impl Sheet {
    /// Parses `path`; panics where it is not well-formed or a number in it is not finite.
    pub fn read(path: &Path) -> Sheet {
        let source = std::fs::read_to_string(path).unwrap();
        let document = roxmltree::Document::parse(&source).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let root = document.root_element();
        assert!(root.has_tag_name("svg"));
        // an embedded image's bytes may spell anything
        let without_bytes = |(index, part): (usize, &'_ str)| match part.split_once('"') {
            Some((_, rest)) if index > 0 => rest.to_string(),
            _ => part.to_string(),
        };
        let numbers: String = source.split("base64,").enumerate().map(without_bytes).collect();
        for broken in ["NaN", "\"inf", "2147483647", "-2147483648"] {
            assert!(!numbers.contains(broken), "{path:?} contains {broken}");
        }
        let size = |name: &str| root.attribute(name).unwrap().parse::<f64>().unwrap();
        let scale =
            root.attribute("viewBox").unwrap().split(' ').nth(2).unwrap().parse::<f64>().unwrap() / size("width");
        let labels =
            root.children().filter(|node| node.has_tag_name("text")).map(|node| Label::read(node, scale)).collect();
        Sheet { labels, width: size("width"), height: size("height"), source }
    }

    pub fn has(&self, text: &str) -> bool {
        self.labels.iter().any(|label| label.text == text)
    }

    /// Panics where a text leaves the picture or touches another.
    pub fn assert_tidy(&self) {
        for (i, a) in self.labels.iter().enumerate() {
            let inside = a.left >= 0.0 && a.top >= 0.0 && a.right <= self.width && a.bottom <= self.height;
            assert!(inside, "{a:?} leaves the picture of {} x {}", self.width, self.height);
            for b in &self.labels[i + 1..] {
                let apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
                assert!(apart, "{a:?} covers {b:?}");
            }
        }
    }

    /// How many elements are `tag`s.
    pub fn count(&self, tag: &str) -> usize {
        self.source.matches(&format!("<{tag} ")).count()
    }
}

impl Label {
    fn read(node: roxmltree::Node<'_, '_>, scale: f64) -> Label {
        let number = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap() / scale;
        let text = node.text().unwrap_or_default().trim().to_string();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let wide = text.chars().map(|c| if c > '\u{2e80}' { 1.0 } else { 0.45 }).sum::<f64>() * size;
        let (before, after) = match node.attribute("text-anchor").unwrap() {
            "start" => (0.0, wide),
            "end" => (wide, 0.0),
            _ => (wide / 2.0, wide / 2.0),
        };
        // From the top of the capitals to the baseline.
        let (up, down) = match node.attribute("dy").unwrap() {
            "0.76em" => (0.0, 0.76 * size),
            "0.5ex" => (0.45 * size, 0.28 * size),
            _ => (size, -0.25 * size),
        };
        if node.attribute("transform").is_some_and(|turn| turn.starts_with("rotate(270")) {
            return Label { text, left: x - up, right: x + down, top: y - after, bottom: y + before };
        }
        Label { text, left: x - before, right: x + after, top: y - up, bottom: y + down }
    }
}
