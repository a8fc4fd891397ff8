//! A series as Apache Parquet: the rows of [`rows`](super::rows), the columns of the CSV.

use super::rows::{Row, rows};
use crate::snapshot::{TrendDocument, VERSION};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

/// The columns. `taken_ms` is an instant, and `host` null where it is not known.
const SCHEMA: &str = "message series {
    required int64 taken_ms (TIMESTAMP(MILLIS, true));
    optional binary host (UTF8);
    required binary boot_id (UTF8);
    required int32 pid;
    required int64 start_ticks (INTEGER(64, false));
    required binary python (UTF8);
    required binary family (UTF8);
    required binary name (UTF8);
    required binary unit (UTF8);
    required double value;
    required binary verdict (UTF8);
}";
/// Rows in memory at once.
const GROUP: usize = 100_000;

/// Writes all rows.
pub fn write(out: impl Write + Send, document: &TrendDocument) -> Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder()
        .set_created_by(format!("pyattach {VERSION}"))
        .set_compression(Compression::GZIP(Default::default()))
        .build();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut rows = rows(document);
    loop {
        let group: Vec<Row<'_>> = rows.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        let mut written = writer.next_row_group()?;
        write_group(&mut written, &group)?;
        written.close()?;
    }
    writer.close()?;
    Ok(())
}

/// The values of one column, in the order of [`SCHEMA`].
type Texts = for<'a> fn(&Row<'a>) -> Option<&'a str>;

fn write_group(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    rows: &[Row<'_>],
) -> Result<()> {
    let mut texts: [Texts; 7] = [
        |row| row.host,
        |row| Some(row.boot_id),
        |row| Some(row.python),
        |row| Some(row.family),
        |row| Some(row.name),
        |row| Some(row.unit),
        |row| Some(row.verdict),
    ];
    let mut texts = texts.iter_mut();
    let mut whole_numbers: [fn(&Row<'_>) -> i64; 2] =
        [|row| row.taken_ms, |row| row.start_ticks.cast_signed()];
    let mut whole_numbers = whole_numbers.iter_mut();
    while let Some(mut column) = group.next_column()? {
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let of = texts.next().ok_or_else(too_many)?;
                let (values, known) = texts_of(rows, *of);
                writer.write_batch(&values, Some(&known), None)?;
            }
            ColumnWriter::Int64ColumnWriter(writer) => {
                let of = whole_numbers.next().ok_or_else(too_many)?;
                writer.write_batch(&rows.iter().map(of).collect::<Vec<i64>>(), None, None)?;
            }
            ColumnWriter::Int32ColumnWriter(writer) => {
                writer.write_batch(
                    &rows.iter().map(|row| row.pid).collect::<Vec<_>>(),
                    None,
                    None,
                )?;
            }
            ColumnWriter::DoubleColumnWriter(writer) => {
                let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
                writer.write_batch(&values, None, None)?;
            }
            _ => return Err(too_many()),
        }
        column.close()?;
    }
    Ok(())
}

/// The texts that are there, and for each row whether there is one. Neighbours mostly have the
/// same text, which is then held once.
fn texts_of(rows: &[Row<'_>], of: Texts) -> (Vec<ByteArray>, Vec<i16>) {
    let mut last: Option<(&str, ByteArray)> = None;
    let mut values = Vec::with_capacity(rows.len());
    let mut known = Vec::with_capacity(rows.len());
    for text in rows.iter().map(of) {
        known.push(i16::from(text.is_some()));
        let Some(text) = text else { continue };
        let bytes = match last.take() {
            Some((same, bytes)) if same == text => bytes,
            _ => ByteArray::from(text),
        };
        values.push(bytes.clone());
        last = Some((text, bytes));
    }
    (values, known)
}

fn too_many() -> ParquetError {
    ParquetError::General("a column that is not of the schema".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::sample::trend;
    use super::super::{csv, rows::rows};
    use super::write;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    #[test]
    fn a_file_reads_back_as_the_rows_of_the_csv() {
        let mut document = trend();
        document.processes[0].host = None;
        let mut parquet = tempfile::tempfile().unwrap();
        let mut text = Vec::new();
        write(&mut parquet, &document).unwrap();
        csv::write(&mut text, &document).unwrap();
        assert!(rows(&document).count() > 10);

        let reader = SerializedFileReader::new(parquet).unwrap();
        let found: Vec<Vec<String>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().into_columns().into_iter().map(|(_, it)| plain(&it)).collect())
            .collect();
        let expected: Vec<Vec<String>> = ::csv::Reader::from_reader(&text[..])
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect();
        assert_eq!(found, expected);
    }

    fn plain(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Int(number) => number.to_string(),
            Field::Long(number) | Field::TimestampMillis(number) => number.to_string(),
            Field::ULong(number) => number.to_string(),
            Field::Double(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    }
}
