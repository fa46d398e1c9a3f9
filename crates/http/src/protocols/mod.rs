//! A folder for each protocol: its routes, its JSON, its errors. None imports another.

pub(crate) mod rooms;
pub(crate) mod simple_sync;
pub(crate) mod td;
pub(crate) mod tickit;
pub(crate) mod wellbeing;
