//! A second Rust library in the same program as libiscp.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::thread;

/// Uses threads, allocation and unwinding, the parts of the runtime both libraries carry.
#[unsafe(no_mangle)]
pub extern "C" fn other_caught_panics() -> u32 {
    let panics = [true, false].map(|panics| {
        thread::spawn(move || {
            catch_unwind(|| {
                let map: HashMap<bool, String> = [(false, format!("{panics}"))].into();
                assert_eq!(map.contains_key(&panics), !panics);
                map.get(&panics).expect("asked to panic").len()
            })
        })
        .join()
    });
    panics.iter().filter(|result| matches!(result, Ok(Err(_)))).count() as u32
}
