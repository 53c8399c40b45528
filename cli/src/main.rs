//! The program iscp.
fn main() {}
