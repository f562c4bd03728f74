//! Codes with a scale and an offset per group: what MLX, GPTQ, AWQ and every integer layout come down to.

use std::ops::Range;

use super::MatrixRows;
use super::bits::{self, Packed, StoredCodes};
use super::grid::Grid;
use super::module::Parts;
use super::settings::GroupSize;
use crate::error::Result;
use crate::numbers::MatrixFormat;

/// A matrix of `w = code * scale + bias`, or `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(super) struct AffineCodes {
    pub(super) codes: StoredCodes,
    pub(super) scale: Grid,
    /// What the scale, beside being read, is multiplied with.
    pub(super) unit: f32,
    pub(super) offset: Offset,
    pub(super) group: GroupSize,
    pub(super) order: Order,
}

/// What is added to a code times its scale.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offset {
    /// A number.
    Bias(Grid),
    /// Minus this code, times the scale.
    Middle(u8),
    /// Minus these codes, a lane for each group, times the scale.
    Zeros(Packed),
    /// Minus these numbers and this code, times the scale.
    Points(Grid, u8),
}

/// Which group a column is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Column i in group i / group.
    Plain,
    /// So, and this part, I32 `[K]`, says it as well.
    Checked(usize),
    /// As this part says, I32 `[K]`. Where it may be `unset`, a negative number means that the order is plain.
    Told { part: usize, unset: bool },
}

impl AffineCodes {
    /// In what form rows of `columns` come: codes where they can be used as they are, else numbers.
    pub(super) fn format(&self, columns: u64) -> MatrixFormat {
        let group = self.group.columns(columns);
        let whole = group == columns || group.is_multiple_of(4);
        match (self.order, u32::try_from(group)) {
            (Order::Plain | Order::Checked(_), Ok(group)) if whole => self.codes.format(columns, group),
            _ => MatrixFormat::F32,
        }
    }

    pub(super) fn decode(
        &self,
        parts: &Parts<'_>,
        rows: Range<usize>,
        columns: usize,
        out: &mut MatrixRows,
    ) -> Result<()> {
        let group = self.group.columns(columns as u64) as usize;
        let groups = columns.div_ceil(group);
        let order = self.order(parts, columns, group)?;
        let format = self.format(columns as u64);
        let bits = format.bits();
        match format {
            MatrixFormat::Q8 { .. } | MatrixFormat::Q4 { .. } => {
                self.pairs(parts, rows.clone(), groups, out)?;
                match self.codes.packed(parts, &rows, columns, bits) {
                    Some(bytes) => out.values.extend_from_slice(bytes),
                    None => bits::pack(&self.codes.unpack(parts, rows, columns), columns, bits, &mut out.values),
                }
            }
            MatrixFormat::F32 | MatrixFormat::F16 | MatrixFormat::Bf16 => {
                out.values.reserve(4 * rows.len() * columns);
                let codes = self.codes.unpack(parts, rows.clone(), columns);
                let mut pairs = Vec::with_capacity(groups);
                for (row, codes) in rows.zip(codes.chunks_exact(columns)) {
                    pairs.clear();
                    for group in 0..groups {
                        pairs.push(self.pair(parts, row, group)?);
                    }
                    for (column, &code) in codes.iter().enumerate() {
                        let group = order.as_ref().map_or(column / group, |order| order[column]);
                        let ((scale, offset), code) = (pairs[group], f32::from(code));
                        let value = match self.offset {
                            Offset::Bias(_) => code * scale + offset,
                            _ => (code - offset) * scale,
                        };
                        self.finite(parts, row, group, value)?;
                        out.values.extend_from_slice(&value.to_le_bytes());
                    }
                }
            }
        }
        Ok(())
    }

    /// The part that holds the codes as they are handed on, if one does.
    pub(super) fn stored_codes(&self, columns: u64) -> Option<usize> {
        let format = self.format(columns);
        format.group().and_then(|_| self.codes.stored_packed(columns as usize, format.bits()))
    }

    /// Scale and bias of every group of `rows`, without their codes.
    pub(super) fn decode_groups(
        &self,
        parts: &Parts<'_>,
        rows: Range<usize>,
        columns: usize,
        out: &mut MatrixRows,
    ) -> Result<()> {
        let group = self.group.columns(columns as u64) as usize;
        self.order(parts, columns, group)?;
        self.pairs(parts, rows, columns.div_ceil(group), out)
    }

    fn pairs(&self, parts: &Parts<'_>, rows: Range<usize>, groups: usize, out: &mut MatrixRows) -> Result<()> {
        out.groups.reserve(rows.len() * groups);
        if let Offset::Bias(bias) = &self.offset
            && let Some(scales) = self.scale.run(parts, &rows, groups)
            && let Some(biases) = bias.run(parts, &rows, groups)
        {
            let first = out.groups.len();
            out.groups.extend(scales.into_iter().zip(biases).map(|(scale, bias)| [scale * self.unit, bias]));
            // One that is not finite is found again below, with its place.
            if out.groups[first..].iter().fold(true, |all, [scale, bias]| all & scale.is_finite() & bias.is_finite()) {
                return Ok(());
            }
            out.groups.truncate(first);
        }
        for row in rows {
            for group in 0..groups {
                let (scale, offset) = self.pair(parts, row, group)?;
                let bias = match self.offset {
                    Offset::Bias(_) => offset,
                    _ => 0.0 - offset * scale,
                };
                self.finite(parts, row, group, bias)?;
                out.groups.push([scale, bias]);
            }
        }
        Ok(())
    }

    /// The scale of a row and group, and its bias or zero point.
    fn pair(&self, parts: &Parts<'_>, row: usize, group: usize) -> Result<(f32, f32)> {
        let scale = self.scale.at(parts, row, group) * self.unit;
        let offset = match &self.offset {
            Offset::Bias(grid) => grid.at(parts, row, group),
            Offset::Middle(code) => f32::from(*code),
            Offset::Zeros(packed) => f32::from(packed.code(parts, group, row)),
            Offset::Points(grid, code) => grid.at(parts, row, group) + f32::from(*code),
        };
        self.finite(parts, row, group, scale)?;
        if let Offset::Bias(grid) | Offset::Points(grid, _) = &self.offset
            && !offset.is_finite()
        {
            return Err(parts.wrong(grid.part, format!("row {row}, group {group}: {offset} is not a number")));
        }
        Ok((scale, offset))
    }

    fn finite(&self, parts: &Parts<'_>, row: usize, group: usize, value: f32) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let scale = self.scale.at(parts, row, group);
        Err(parts.wrong(self.scale.part, format!("row {row}, group {group}: scale {scale} makes {value}")))
    }

    /// The group of each column, where it is not plain.
    fn order(&self, parts: &Parts<'_>, columns: usize, group: usize) -> Result<Option<Vec<usize>>> {
        let (part, unset) = match self.order {
            Order::Plain => return Ok(None),
            Order::Checked(part) => (part, false),
            Order::Told { part, unset } => (part, unset),
        };
        let groups = columns.div_ceil(group);
        let told = || (0..columns).map(|column| parts.word(part, column) as i32);
        if unset && told().any(|g| g < 0) {
            return Ok(None);
        }
        if let Some((column, g)) = told().enumerate().find(|&(_, g)| usize::try_from(g).map_or(true, |g| g >= groups)) {
            return Err(parts.wrong(part, format!("column {column} is in group {g}, there are {groups}")));
        }
        if let Order::Told { .. } = self.order {
            return Ok(Some(told().map(|g| g as usize).collect()));
        }
        match told().enumerate().find(|&(column, g)| g as usize != column / group) {
            None => Ok(None),
            Some((column, g)) => {
                let message = format!("column {column} is in group {g}, but desc_act is false in config.json");
                Err(parts.wrong(part, message))
            }
        }
    }
}
