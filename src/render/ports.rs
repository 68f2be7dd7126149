//! The port table: what is declared, asked by probes, sent to by Services, and what listens.

use crate::model::report::{Listener, PortRow};
use crate::render::text_writer::{TextWriter, Tone, width};

const HEADINGS: [&str; 6] = ["PORT", "DECLARED", "PROBED BY", "TARGETED BY", "LISTENS", "CONNECTION"];

/// Writes one table per pod. Columns in which no row says anything are left out.
pub fn tables(rows: &[PortRow], writer: &mut TextWriter) {
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let same = rest
            .iter()
            .take_while(|row| row.pod == first.pod && row.workload == first.workload)
            .count();
        let (of_pod, others) = rest.split_at(same);
        rest = others;
        writer.gap();
        writer.line("", 0, &format!("ports of pod/{}", first.pod));
        table(of_pod, writer);
    }
}

fn table(rows: &[PortRow], writer: &mut TextWriter) {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let kept: Vec<usize> = (0..HEADINGS.len())
        .filter(|&column| lines.iter().skip(1).any(|cells| !cells[column].is_empty()))
        .collect();
    let widths = kept
        .iter()
        .map(|&column| lines.iter().map(|cells| width(&cells[column])).max().unwrap_or_default() + 2);
    if writer.columns.is_some_and(|columns| widths.sum::<usize>() > columns) {
        narrow(&lines, writer);
        return;
    }
    for (index, cells) in lines.iter().enumerate() {
        let mut line = String::from("  ");
        for (place, &column) in kept.iter().enumerate() {
            let cell = if cells[column].is_empty() { "-" } else { &cells[column] };
            line.push_str(cell);
            if place + 1 < kept.len() {
                let widest = lines.iter().map(|cells| width(&cells[column])).max().unwrap_or_default();
                line.push_str(&" ".repeat(widest.max(1).saturating_sub(width(cell)) + 2));
            }
        }
        let line = if index == 0 { writer.tone(Tone::Faint, &line) } else { line };
        writer.row(&line);
    }
}

/// A row as words, where the terminal is too narrow for columns.
fn narrow(lines: &[[String; 6]], writer: &mut TextWriter) {
    for cells in lines.iter().skip(1) {
        let [port, declared, probed, targeted, listens, answer] = cells;
        let said = [
            ("declared by", declared),
            ("probed by", probed),
            ("targeted by", targeted),
            ("listens:", listens),
            ("connection:", answer),
        ];
        let words: Vec<String> = said
            .iter()
            .filter(|(_, words)| !words.is_empty())
            .map(|(label, words)| format!("{label} {words}"))
            .collect();
        writer.labelled(2, port, 0, Tone::Plain, &words.join("; "));
    }
}

fn cells(row: &PortRow) -> [String; 6] {
    let port = match row.protocol.as_str() {
        "TCP" => row.port.to_string(),
        other => format!("{}/{other}", row.port),
    };
    let declared = match (row.declared, row.container.as_str()) {
        (false, _) => String::new(),
        (true, "") => "yes".to_owned(),
        (true, container) => container.to_owned(),
    };
    let mut targets = row.targeted_by.clone();
    targets.extend(row.ingresses.iter().map(|name| format!("ingress/{name}")));
    let mut listens: Vec<String> = row.listens.iter().map(|listener| shown(listener, &row.listens, row.port)).collect();
    listens.dedup();
    [
        port,
        declared,
        row.probed_by.join(", "),
        targets.join(", "),
        listens.join(", "),
        row.answer.clone(),
    ]
}

/// `127.0.0.1:8080 (admin)`, `0.0.0.0:8080 (by its command, log)`
fn shown(listener: &Listener, all: &[Listener], port: u16) -> String {
    let address = if listener.address.contains(':') {
        format!("[{}]:{port}", listener.address)
    } else {
        format!("{}:{port}", listener.address)
    };
    match (listener.known_by.as_str(), &listener.container) {
        ("socket", Some(container)) => format!("{address} ({container})"),
        ("socket", None) => address,
        _ => {
            let same = all.iter().filter(|other| other.address == listener.address);
            let known_by: Vec<&str> = same.map(|other| other.known_by.as_str()).collect();
            format!("{address} (by its {})", known_by.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ObjectRef;
    use crate::model::kind;

    fn row(port: u16) -> PortRow {
        PortRow {
            workload: ObjectRef::new(&kind::DEPLOYMENT, "shop", "admin"),
            pod: "admin-1".into(),
            container: "admin".into(),
            port,
            protocol: "TCP".into(),
            declared: true,
            probed_by: Vec::new(),
            targeted_by: vec!["service/admin:80".into()],
            ingresses: Vec::new(),
            listens: vec![Listener {
                address: "127.0.0.1".into(),
                container: Some("admin".into()),
                known_by: "socket".into(),
            }],
            answer: "inside the pod only".into(),
        }
    }

    #[test]
    fn a_narrow_terminal_gets_words() {
        let mut writer = TextWriter::new(false, Some(60));
        tables(&[row(8080)], &mut writer);
        assert_eq!(
            writer.into_text(),
            "ports of pod/admin-1\n  8080  declared by admin; targeted by service/admin:80;\n        listens: 127.0.0.1:8080 (admin); connection: inside\n        \
             the pod only\n"
        );
    }

    #[test]
    fn columns_fit_their_cells_and_empty_ones_are_left_out() {
        let mut writer = TextWriter::new(false, None);
        let other = PortRow {
            declared: false,
            targeted_by: Vec::new(),
            answer: String::new(),
            ..row(9)
        };
        tables(&[row(8080), other], &mut writer);
        assert_eq!(
            writer.into_text(),
            "ports of pod/admin-1\n  PORT  DECLARED  TARGETED BY       LISTENS                 CONNECTION\n  8080  admin     service/admin:80  \
             127.0.0.1:8080 (admin)  inside the pod only\n  9     -         -                 127.0.0.1:9 (admin)     -\n"
        );
    }
}
