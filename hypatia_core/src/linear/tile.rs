//! The innermost piece of a product: a few rows by the columns of one panel, sums in registers.

use crate::registers;

/// Columns of a panel: two registers of eight.
pub const COLUMNS: usize = 16;
/// Rows of a tile: as many as leave registers for what they are multiplied by.
pub const ROWS: usize = 6;
/// Panels of a tile at most.
pub const MOST_PANELS: usize = 4;

/// Panels of a tile: sums of six rows by four of them fill thirty-two registers of 512 bits, by one sixteen of 256.
pub(crate) const fn panels<const BITS: usize>() -> usize {
    if BITS >= 512 { MOST_PANELS } else { 1 }
}

/// The same of the processor at hand.
pub(crate) fn most_panels() -> usize {
    if registers::bits() >= 512 {
        panels::<512>()
    } else {
        panels::<256>()
    }
}

/// Where panels are read side by side in registers of 512 bits, what lies so many elements ahead is asked for.
const AHEAD: usize = 128;

/// Steps of one turn of the loop.
pub(crate) const TURN: usize = 4;

/// What each turn of the loop asks the caches for, which read ahead by themselves only to a page's end.
#[derive(Clone, Copy)]
pub(crate) enum Ahead {
    /// One line, to the second cache, so many elements after the last one.
    Line { from: *const f32, step: usize },
    /// The next line of each of [`Ahead::STREAMS`] streams so many elements apart, to the first cache: memory answers
    /// several pages at once sooner than one.
    Streams { from: *const f32, apart: usize },
}

impl Ahead {
    pub(crate) const STREAMS: usize = TURN;

    /// Only what is there already.
    pub(crate) fn nothing(here: *const f32) -> Self {
        Self::Line {
            from: here,
            step: 0,
        }
    }
}

/// Sums for each place of a tile that has so many: two additions begin each step, and each takes four.
#[cfg(target_arch = "x86_64")]
const fn strands(sums: usize) -> usize {
    match sums {
        1..=2 => 4,
        3..=7 => 2,
        _ => 1,
    }
}

/// Where a tile's operands lie, and where its sums go.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// The first row, and how many elements lie between the starts of two rows; of rows that lie turned, which
    /// [`Tile::add_turned`] reads, between two elements of one.
    pub x: *const f32,
    pub x_step: usize,
    /// The first panel's rows of `COLUMNS`, as many as `depth`, and how many elements lie between two panels.
    pub panel: *const f32,
    pub apart: usize,
    pub depth: usize,
    /// `COLUMNS` sums of each panel for each row.
    pub sums: *mut f32,
    pub sums_step: usize,
    /// What the sums of a row begin with; null where these are added to what there is. Added last and not first: the
    /// error of a sum grows with its terms, and so with those of a slice and the number of slices.
    pub begin: *const f32,
    /// What is read next.
    pub ahead: Ahead,
}

impl Tile {
    /// Adds the products of so many rows, 1 to [`ROWS`], by so many panels, 1 to [`panels`].
    ///
    /// # Safety
    /// Memory is as the fields say, and the processor has registers of `BITS`.
    #[inline(always)]
    pub(crate) unsafe fn add<const BITS: usize>(self, rows: usize, panels: usize) {
        // SAFETY: the caller vouches for it.
        unsafe { self.add_lying::<BITS, false>(rows, panels) };
    }

    /// The same of rows that lie turned: the elements of so many rows at one place lie side by side.
    ///
    /// # Safety
    /// As for `add`.
    #[inline(always)]
    pub(crate) unsafe fn add_turned<const BITS: usize>(self, rows: usize, panels: usize) {
        // SAFETY: the caller vouches for it.
        unsafe { self.add_lying::<BITS, true>(rows, panels) };
    }

    /// Where an element of a row lies, from the first of the first row.
    #[inline(always)]
    fn at<const TURNED: bool>(&self, row: usize, place: usize) -> usize {
        if TURNED {
            row + place * self.x_step
        } else {
            row * self.x_step + place
        }
    }

    #[inline(always)]
    unsafe fn add_lying<const BITS: usize, const TURNED: bool>(self, rows: usize, panels: usize) {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 512 {
            // SAFETY: the caller vouches for it.
            unsafe { self.add_wide::<TURNED>(rows, panels) };
            return;
        }
        debug_assert_eq!(panels, 1);
        // SAFETY: the caller vouches for it.
        unsafe {
            match rows {
                1 => self.rows::<BITS, TURNED, 1, 4>(),
                2 => self.rows::<BITS, TURNED, 2, 2>(),
                3 => self.rows::<BITS, TURNED, 3, 2>(),
                4 => self.rows::<BITS, TURNED, 4, 1>(),
                5 => self.rows::<BITS, TURNED, 5, 1>(),
                _ => self.rows::<BITS, TURNED, 6, 1>(),
            }
        }
    }

    /// With `STRANDS` sums for each place, which are added in the end: a sum waits for the one before.
    #[inline(always)]
    unsafe fn rows<const BITS: usize, const TURNED: bool, const R: usize, const STRANDS: usize>(
        self,
    ) {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256 {
            // SAFETY: the caller vouches for it.
            unsafe {
                match self.ahead {
                    Ahead::Line { from, step } => {
                        self.in_registers::<TURNED, R, STRANDS, 1>(from, 0, step);
                    }
                    Ahead::Streams { from, apart } => {
                        self.in_registers::<TURNED, R, STRANDS, { Ahead::STREAMS }>(
                            from, apart, COLUMNS,
                        );
                    }
                }
            }
            return;
        }
        // SAFETY: the caller vouches for it.
        unsafe { self.plain::<TURNED, R>() };
    }

    /// In registers of 512 bits: a row of a panel is one of them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_wide<const TURNED: bool>(self, rows: usize, panels: usize) {
        macro_rules! of {
            ($($rows:literal)*) => {
                match (rows, panels) {
                    $(($rows, 1) => self.in_wide_registers::<TURNED, $rows, 1, { strands($rows) }>(),
                    ($rows, 2) => self.in_wide_registers::<TURNED, $rows, 2, { strands(2 * $rows) }>(),
                    ($rows, 3) => self.in_wide_registers::<TURNED, $rows, 3, { strands(3 * $rows) }>(),
                    ($rows, _) => self.in_wide_registers::<TURNED, $rows, 4, { strands(4 * $rows) }>(),)*
                    _ => unreachable!("a tile has 1 to {ROWS} rows"),
                }
            };
        }
        // SAFETY: the caller vouches for it.
        unsafe { of!(1 2 3 4 5 6) }
    }

    /// A function of its own, so that the compiler knows nothing of its loop but the depth.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    #[inline(never)]
    #[expect(
        clippy::needless_range_loop,
        reason = "arrays that iterators take by value go through memory"
    )]
    unsafe fn in_wide_registers<
        const TURNED: bool,
        const R: usize,
        const P: usize,
        const STRANDS: usize,
    >(
        self,
    ) {
        use std::arch::x86_64::*;

        let (mut ahead, step_ahead) = match self.ahead {
            Ahead::Line { from, step } => (from, step),
            Ahead::Streams { from, .. } => (from, COLUMNS),
        };
        // SAFETY: as for `add`; what is asked for ahead may lie anywhere.
        unsafe {
            let mut sums = [[[_mm512_setzero_ps(); P]; R]; STRANDS];
            if !self.begin.is_null() {
                for row in &mut sums[0] {
                    for (p, sum) in row.iter_mut().enumerate() {
                        *sum = _mm512_loadu_ps(self.begin.add(p * COLUMNS));
                    }
                }
            }
            let (mut panel, mut x) = (self.panel, self.x);
            for _ in 0..self.depth / TURN {
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                ahead = ahead.wrapping_add(step_ahead);
                for step in 0..TURN {
                    let mut weights = [_mm512_setzero_ps(); P];
                    for (p, weight) in weights.iter_mut().enumerate() {
                        *weight = _mm512_loadu_ps(panel.add(p * self.apart + step * COLUMNS));
                    }
                    for (r, row) in sums[step % STRANDS].iter_mut().enumerate() {
                        let factor = _mm512_set1_ps(*x.add(self.at::<TURNED>(r, step)));
                        for p in 0..P {
                            row[p] = _mm512_fmadd_ps(factor, weights[p], row[p]);
                        }
                    }
                }
                panel = panel.add(TURN * COLUMNS);
                x = x.add(self.at::<TURNED>(0, TURN));
            }
            for step in 0..self.depth % TURN {
                let mut weights = [_mm512_setzero_ps(); P];
                for (p, weight) in weights.iter_mut().enumerate() {
                    *weight = _mm512_loadu_ps(panel.add(p * self.apart + step * COLUMNS));
                }
                for (r, row) in sums[0].iter_mut().enumerate() {
                    let factor = _mm512_set1_ps(*x.add(self.at::<TURNED>(r, step)));
                    for p in 0..P {
                        row[p] = _mm512_fmadd_ps(factor, weights[p], row[p]);
                    }
                }
            }
            for r in 0..R {
                for p in 0..P {
                    let mut sum = sums[0][r][p];
                    for strand in 1..STRANDS {
                        sum = _mm512_add_ps(sum, sums[strand][r][p]);
                    }
                    let to = self.sums.add(r * self.sums_step + p * COLUMNS);
                    if self.begin.is_null() {
                        sum = _mm512_add_ps(sum, _mm512_loadu_ps(to));
                    }
                    _mm512_storeu_ps(to, sum);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn plain<const TURNED: bool, const R: usize>(self) {
        // SAFETY: as for `add`.
        unsafe {
            for r in 0..R {
                let to = self.sums.add(r * self.sums_step);
                let mut sums = [0.0f32; COLUMNS];
                if !self.begin.is_null() {
                    sums.copy_from_slice(std::slice::from_raw_parts(self.begin, COLUMNS));
                }
                for k in 0..self.depth {
                    let x = *self.x.add(self.at::<TURNED>(r, k));
                    let row = std::slice::from_raw_parts(self.panel.add(k * COLUMNS), COLUMNS);
                    for (sum, &weight) in sums.iter_mut().zip(row) {
                        *sum += x * weight;
                    }
                }
                let to = std::slice::from_raw_parts_mut(to, COLUMNS);
                if self.begin.is_null() {
                    for (sum, &before) in sums.iter_mut().zip(&*to) {
                        *sum += before;
                    }
                }
                to.copy_from_slice(&sums);
            }
        }
    }

    /// A function of its own, so that the compiler knows nothing of its loop but the depth.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn in_registers<
        const TURNED: bool,
        const R: usize,
        const STRANDS: usize,
        const STREAMS: usize,
    >(
        self,
        mut ahead: *const f32,
        apart: usize,
        step_ahead: usize,
    ) {
        use std::arch::x86_64::*;

        // SAFETY: as for `add`; what is asked for ahead may lie anywhere.
        unsafe {
            let mut sums = [[[_mm256_setzero_ps(); 2]; R]; STRANDS];
            if !self.begin.is_null() {
                let begin = [
                    _mm256_loadu_ps(self.begin),
                    _mm256_loadu_ps(self.begin.add(8)),
                ];
                sums[0] = [begin; R];
            }
            let (mut panel, mut x) = (self.panel, self.x);
            for _ in 0..self.depth / TURN {
                if STREAMS == 1 {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                } else {
                    for stream in 0..STREAMS {
                        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(stream * apart).cast());
                    }
                }
                ahead = ahead.wrapping_add(step_ahead);
                for step in 0..TURN {
                    let from = panel.add(step * COLUMNS);
                    let weights = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))];
                    for (r, sum) in sums[step % STRANDS].iter_mut().enumerate() {
                        let factor = _mm256_broadcast_ss(&*x.add(self.at::<TURNED>(r, step)));
                        sum[0] = _mm256_fmadd_ps(factor, weights[0], sum[0]);
                        sum[1] = _mm256_fmadd_ps(factor, weights[1], sum[1]);
                    }
                }
                panel = panel.add(TURN * COLUMNS);
                x = x.add(self.at::<TURNED>(0, TURN));
            }
            for step in 0..self.depth % TURN {
                let from = panel.add(step * COLUMNS);
                let weights = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))];
                for (r, sum) in sums[0].iter_mut().enumerate() {
                    let factor = _mm256_broadcast_ss(&*x.add(self.at::<TURNED>(r, step)));
                    sum[0] = _mm256_fmadd_ps(factor, weights[0], sum[0]);
                    sum[1] = _mm256_fmadd_ps(factor, weights[1], sum[1]);
                }
            }
            for (r, first) in sums[0].iter().enumerate() {
                let mut sum = *first;
                for strand in &sums[1..] {
                    sum[0] = _mm256_add_ps(sum[0], strand[r][0]);
                    sum[1] = _mm256_add_ps(sum[1], strand[r][1]);
                }
                let to = self.sums.add(r * self.sums_step);
                if self.begin.is_null() {
                    sum[0] = _mm256_add_ps(sum[0], _mm256_loadu_ps(to));
                    sum[1] = _mm256_add_ps(sum[1], _mm256_loadu_ps(to.add(8)));
                }
                _mm256_storeu_ps(to, sum[0]);
                _mm256_storeu_ps(to.add(8), sum[1]);
            }
        }
    }
}

/// Few rows by panels that are read side by side: sums of all of them fit into registers, or nearly.
#[derive(Clone, Copy)]
pub(crate) struct Beside {
    /// The first row, and how many elements lie between the starts of two rows.
    pub x: *const f32,
    pub x_step: usize,
    /// The first of `Ahead::STREAMS` panels, and how many elements lie between the starts of two.
    pub panels: *const f32,
    pub apart: usize,
    /// Elements of a row.
    pub depth: usize,
    /// Sums of all panels for each row, to which is added.
    pub sums: *mut f32,
    pub sums_step: usize,
}

impl Beside {
    /// So many products are summed before they are added to the sums before: the error of a sum grows with its terms.
    const SLICE: usize = 256;

    /// Adds the products, where there are registers for so many rows; whether it did.
    ///
    /// # Safety
    /// Memory is as the fields say, and the processor has registers of `BITS`.
    #[inline(always)]
    pub(crate) unsafe fn add<const BITS: usize>(self, rows: usize) -> bool {
        (0..self.depth).step_by(Self::SLICE).all(|from| {
            // SAFETY: as the caller vouches, of a slice of the depth.
            unsafe {
                let slice = Self {
                    x: self.x.add(from),
                    panels: self.panels.add(from * COLUMNS),
                    depth: Self::SLICE.min(self.depth - from),
                    ..self
                };
                slice.add_slice::<BITS>(rows)
            }
        })
    }

    /// The same of few enough products.
    #[inline(always)]
    unsafe fn add_slice<const BITS: usize>(self, rows: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 512 {
            // SAFETY: the caller vouches for it.
            unsafe {
                match rows {
                    1 => self.in_wide_registers::<1>(),
                    2 => self.in_wide_registers::<2>(),
                    3 => self.in_wide_registers::<3>(),
                    4 => self.in_wide_registers::<4>(),
                    5 => self.in_wide_registers::<5>(),
                    6 => self.in_wide_registers::<6>(),
                    _ => return false,
                }
            }
            return true;
        }
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256 {
            // SAFETY: the caller vouches for it.
            unsafe {
                match rows {
                    1 => self.in_registers::<1, 0>(),
                    2 => self.in_registers::<2, 128>(),
                    _ => return false,
                }
            }
            return true;
        }
        let _ = rows;
        false
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    #[inline(never)]
    unsafe fn in_wide_registers<const R: usize>(self) {
        use std::arch::x86_64::*;

        // SAFETY: as for `add`; what is asked for ahead may lie anywhere.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); R]; Ahead::STREAMS];
            for k in 0..self.depth {
                let mut factors = [_mm512_setzero_ps(); R];
                for (r, factor) in factors.iter_mut().enumerate() {
                    *factor = _mm512_set1_ps(*self.x.add(r * self.x_step + k));
                }
                for (p, panel) in sums.iter_mut().enumerate() {
                    let from = self.panels.add(p * self.apart + k * COLUMNS);
                    _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD).cast());
                    let weights = _mm512_loadu_ps(from);
                    for r in 0..R {
                        panel[r] = _mm512_fmadd_ps(factors[r], weights, panel[r]);
                    }
                }
            }
            for (p, panel) in sums.iter().enumerate() {
                for (r, sum) in panel.iter().enumerate() {
                    let to = self.sums.add(r * self.sums_step + p * COLUMNS);
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), *sum));
                }
            }
        }
    }

    /// Each step asks for what is so many elements ahead, where the processor does not by itself.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn in_registers<const R: usize, const AHEAD: usize>(self) {
        use std::arch::x86_64::*;

        // SAFETY: as for `add`; what is asked for ahead may lie anywhere.
        unsafe {
            let mut sums = [[[_mm256_setzero_ps(); 2]; R]; Ahead::STREAMS];
            for k in 0..self.depth {
                let mut factors = [_mm256_setzero_ps(); R];
                for (r, factor) in factors.iter_mut().enumerate() {
                    *factor = _mm256_broadcast_ss(&*self.x.add(r * self.x_step + k));
                }
                for (p, panel) in sums.iter_mut().enumerate() {
                    let from = self.panels.add(p * self.apart + k * COLUMNS);
                    if AHEAD > 0 {
                        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD).cast());
                    }
                    for half in 0..2 {
                        let weights = _mm256_loadu_ps(from.add(8 * half));
                        for (sum, factor) in panel.iter_mut().zip(factors) {
                            sum[half] = _mm256_fmadd_ps(factor, weights, sum[half]);
                        }
                    }
                }
            }
            for (p, panel) in sums.iter().enumerate() {
                for (r, sum) in panel.iter().enumerate() {
                    for (half, sum) in sum.iter().enumerate() {
                        let to = self.sums.add(r * self.sums_step + p * COLUMNS + 8 * half);
                        _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), *sum));
                    }
                }
            }
        }
    }
}
