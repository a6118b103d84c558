//! `qdebug gpus`: the cluster's types. What `-g TYPE` means is in `gpu_type`.

use jiff::Timestamp;

use super::args::Global;
use super::output::{harmless, table};
use super::setting::Setting;
use super::{Failure, output, show};
use crate::session::GpuSupply;

/// `qdebug gpus`.
pub(super) async fn gpus(global: &Global) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    let supplies = match setting.cluster(global).await? {
        Some(cluster) => cluster.gpus().await?,
        None => setting.gpus().await?,
    };
    if global.json {
        output::json(&supplies);
    } else if supplies.is_empty() {
        output::talk("the cluster's nodes tell of no GPU");
    } else {
        output::data(&shown(&supplies));
    }
    Ok(0)
}

fn shown(supplies: &[GpuSupply]) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let row = |supply: &GpuSupply| {
        // A time that has passed is a plan that the scheduler has not looked at since.
        let start = supply.estimated_start.filter(|at| *at > Timestamp::now());
        vec![
            supply
                .kind
                .as_deref()
                .map_or_else(|| "(any)".to_owned(), harmless),
            supply.nodes.to_string(),
            number(supply.free),
            supply.total.to_string(),
            supply.down.to_string(),
            number(supply.queued),
            start.map_or_else(|| "-".to_owned(), show::clock),
        ]
    };
    let rows: Vec<Vec<String>> = supplies.iter().map(row).collect();
    table(
        &[
            "TYPE",
            "NODES",
            "FREE",
            "TOTAL",
            "DOWN",
            "QUEUED",
            "LAST STARTS",
        ],
        &rows,
    )
}
