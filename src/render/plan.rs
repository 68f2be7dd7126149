//! A plan of sessions as text.

use crate::model::plan::SessionPlan;
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::render::unchecked::by_reason;
use crate::text::{counted, sanitise};

const MEBIBYTE: i64 = 1 << 20;

/// The answer, what limits the sessions with its numbers, and where the images are.
pub fn text(plan: &SessionPlan, writer: &mut TextWriter) {
    let (word, tone, words) = match plan.fits {
        Some(fits) if fits < plan.max => {
            let limit = plan.limits.first().map(|limit| limit.limit.as_str()).unwrap_or_default();
            (
                "DOES NOT FIT",
                Tone::Bad,
                format!("{fits} of {} sessions fit; first limit: {}", plan.max, sanitise(limit)),
            )
        }
        _ if !plan.unchecked.is_empty() => (
            "CANNOT TELL",
            Tone::Doubtful,
            format!("{} sessions fit by what could be read", plan.max),
        ),
        _ => ("FITS", Tone::Good, format!("{} sessions fit", plan.max)),
    };
    let there = counted(i64::try_from(plan.sessions).unwrap_or(i64::MAX), "session");
    let lead = format!("{}  ", writer.tone(tone, word));
    writer.line(
        &lead,
        width(word) + 2,
        &format!("{words}   namespace {} · {there} now", plan.namespace),
    );
    let column = plan.limits.iter().map(|limit| width(&limit.limit)).max().unwrap_or_default();
    let numbers = plan
        .limits
        .iter()
        .map(|limit| limit.sessions.to_string().len())
        .max()
        .unwrap_or_default();
    if !plan.limits.is_empty() {
        writer.gap();
    }
    for limit in &plan.limits {
        let number = format!("{:>numbers$}", limit.sessions);
        let tone = if limit.sessions < plan.max { Tone::Bad } else { Tone::Good };
        let lead = format!("  {:column$}  {}  ", sanitise(&limit.limit), writer.tone(tone, &number));
        writer.line(&lead, column + numbers + 6, &sanitise(&limit.detail));
    }
    for image in &plan.images {
        let size = image
            .size_bytes
            .map_or_else(String::new, |size| format!(", {} MiB", (size / MEBIBYTE).max(1)));
        let missing = if image.nodes < image.of_nodes {
            "; the others pull it first"
        } else {
            ""
        };
        let words = format!(
            "image {}: on {} of {} nodes{size}{missing}",
            sanitise(&image.image),
            image.nodes,
            image.of_nodes
        );
        writer.line("  ", 2, &words);
    }
    for (what, why) in by_reason(&plan.unchecked, "session") {
        let lead = format!("{} ", writer.tone(Tone::Doubtful, "?"));
        writer.line(&lead, 2, &format!("not checked: {what} ({why})"));
    }
}
