//! The command line: `WORKER ROLE key=value …`.

use crate::Failure;

pub(crate) struct Options {
    pub(crate) role: String,
    pub(crate) url: String,
    pub(crate) session: String,
    pub(crate) payload: usize,
    pub(crate) points: u64,
    pub(crate) ids: usize,
    /// Points per second, 0: as fast as they are accepted.
    pub(crate) rate: f64,
    pub(crate) reliable: bool,
    pub(crate) json: bool,
    /// Level, 0: none.
    pub(crate) compression: i8,
    pub(crate) immediate: bool,
    pub(crate) connections: usize,
    pub(crate) idle_s: f64,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            role: arguments.next().ok_or("usage: rs ROLE key=value ...")?,
            url: String::new(),
            session: "bench".into(),
            payload: 32,
            points: 1000,
            ids: 1,
            rate: 0.0,
            reliable: true,
            json: false,
            compression: 0,
            immediate: false,
            connections: 1,
            idle_s: 5.0,
        };
        for argument in arguments {
            let (key, value) =
                argument.split_once('=').ok_or_else(|| format!("{argument} is not of the form key=value"))?;
            options.set(key, value)?;
        }
        if options.url.is_empty() {
            return Err("url= is missing".into());
        }
        if options.role == "e2e" && options.payload < size_of::<i64>() {
            return Err(format!("payload={} has no room for the time stamp of e2e", options.payload).into());
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        let wrong = |what: &str| Failure::from(format!("{key}={value} is not {what}"));
        let whole = |least: u32, most: u32| match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(wrong(&format!("a whole number from {least} to {most}"))),
        };
        let real = |most: f64| match value.parse() {
            Ok(number) if (0.0..=most).contains(&number) => Ok(number),
            _ => Err(wrong(&format!("a number from 0 to {most}"))),
        };
        let second = |first: &str, other: &str| match value {
            _ if value == other => Ok(true),
            _ if value == first => Ok(false),
            _ => Err(wrong(&format!("{first} or {other}"))),
        };
        match key {
            "url" => value.clone_into(&mut self.url),
            "session" => value.clone_into(&mut self.session),
            // The client takes the certificates of the system only, so that it is told to demand none; see streams.rs.
            "ca" => {}
            "payload" => self.payload = whole(0, 16 * 1024 * 1024)? as usize,
            "points" => self.points = whole(1, 100_000_000)?.into(),
            "ids" => self.ids = whole(1, 10_000)? as usize,
            "rate" => self.rate = real(1e9)?,
            "qos" => self.reliable = second("unreliable", "reliable")?,
            "encoding" => self.json = second("protobuf", "json")?,
            "compression" => self.compression = whole(0, 9)? as i8,
            "flush" => self.immediate = second("default", "immediate")?,
            "connections" => self.connections = whole(1, 100_000)? as usize,
            "idle_s" => self.idle_s = real(3600.0)?,
            _ => return Err(Failure::Unsupported(format!("there is no option {key}"))),
        }
        Ok(())
    }
}
