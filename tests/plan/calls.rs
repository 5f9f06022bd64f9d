//! Counts what is created on a device, by what wgpu-core logs of it.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static CREATED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Counter;

impl log::Log for Counter {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core")
    }

    fn log(&self, record: &log::Record<'_>) {
        let message = record.args().to_string();
        if let Some(what) = message.strip_prefix("Device::create_").filter(|_| self.enabled(record.metadata())) {
            let what = what.split([' ', '(']).next().unwrap_or_default().to_string();
            // a thread that is ending has nothing to count
            let _ = CREATED.try_with(|created| created.borrow_mut().push(what));
        }
    }

    fn flush(&self) {}
}

/// What `work` makes this thread create, as wgpu-core calls it: `buffer`, `bind_group`, `compute_pipeline`, ...
pub fn created_by<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Counter).expect("no other logger in this test");
        log::set_max_level(log::LevelFilter::Trace);
    });
    CREATED.with(|created| created.borrow_mut().clear());
    let value = work();
    (value, CREATED.with(|created| created.borrow_mut().split_off(0)))
}
