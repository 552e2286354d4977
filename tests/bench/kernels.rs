//! The CPU kernels beside Burn's own operators and, where there is one, PyTorch, on all threads.
//!
//! `cargo bench --bench kernels` prints a table; words after `--` choose the rows whose names hold one of them.
//! `DC_GRAPH_BENCH_PYTHON=<venv>/bin/python` names a Python with torch, which then computes the same rows in turns with
//! the others. Rows marked `train` are a forward and a backward pass. Times are medians of rounds in which everybody has
//! a turn, so that a busy machine disturbs all alike; read the ratios. Where a machine is too busy for that,
//! `DC_GRAPH_BENCH_CLOCK=processor` counts the processor time of all threads instead (Linux only), best with
//! `RAYON_NUM_THREADS=1`, which is also the peer's number of threads.
//!
//! `DC_GRAPH_BENCH_DTYPE=bf16` computes everything in bfloat16 instead of float32, without the rows that train.

#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{GroupNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Device, Distribution, Tensor, activation, module};

/// As in the program: memory given back to the system comes back page by page.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Turns of each row.
const ROUNDS: usize = 9;
/// Milliseconds that a turn takes at least, in which short work is repeated: threads that slept wake up in it.
const TURN: f64 = 20.0;

/// One row of the table.
struct Row {
    name: String,
    /// Arithmetic, not counting exponentials, in 10^9.
    gflop: f64,
    /// What has to be read and written, in MB.
    megabytes: f64,
    ours: Box<dyn FnMut()>,
    plain: Box<dyn FnMut()>,
}

/// The number type of all rows.
fn dtype() -> DType {
    static DTYPE: OnceLock<DType> = OnceLock::new();
    *DTYPE.get_or_init(|| match std::env::var("DC_GRAPH_BENCH_DTYPE").as_deref() {
        Err(_) | Ok("f32") => DType::F32,
        Ok("bf16") => DType::BF16,
        Ok(other) => panic!("DC_GRAPH_BENCH_DTYPE is `f32` or `bf16`, found `{other}`"),
    })
}

/// MB of so many values.
fn megabytes(values: f64) -> f64 {
    values * dtype().size() as f64 / 1e6
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::<D>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex()).cast(dtype())
}

/// A layer's parameters as [`dtype`].
fn converted<M: Module>(layer: M) -> M {
    struct Convert;
    impl ModuleMapper for Convert {
        fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
            parameter.map(|x| x.cast(dtype()))
        }
    }
    layer.map(&mut Convert)
}

/// A function of one tensor, forwards.
fn forward<const D: usize, const E: usize>(
    name: &str,
    shape: [usize; D],
    operations: f64,
    ours: impl Fn(Tensor<D>) -> Tensor<E> + 'static,
    plain: impl Fn(Tensor<D>) -> Tensor<E> + 'static,
) -> Row {
    let count = shape.iter().product::<usize>() as f64;
    let (x, y) = (random(shape), random(shape));
    Row {
        name: name.into(),
        gflop: count * operations / 1e9,
        megabytes: megabytes(2.0 * count),
        ours: Box::new(move || drop(ours(x.clone()))),
        plain: Box::new(move || drop(plain(y.clone()))),
    }
}

/// A function of one tensor, forwards and backwards.
fn train<const D: usize, const E: usize>(
    name: &str,
    shape: [usize; D],
    operations: f64,
    ours: impl Fn(Tensor<D>) -> Tensor<E> + 'static,
    plain: impl Fn(Tensor<D>) -> Tensor<E> + 'static,
) -> Row {
    let count = shape.iter().product::<usize>() as f64;
    let (x, y) = (random(shape), random(shape));
    let pass = |x: &Tensor<D>, f: &dyn Fn(Tensor<D>) -> Tensor<E>| {
        let x = x.clone().autodiff().require_grad();
        let output = f(x.clone());
        drop(x.grad(&output.sum().backward()));
    };
    Row {
        name: format!("{name}, train"),
        gflop: 3.0 * count * operations / 1e9,
        megabytes: megabytes(5.0 * count),
        ours: Box::new(move || pass(&x, &ours)),
        plain: Box::new(move || pass(&y, &plain)),
    }
}

fn plain_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>) -> Tensor<4> {
    module::attention(query, key, value, None, None, AttentionModuleOptions::default())
}

/// Attention of `tokens` to `context` tokens.
fn attention([batch, heads, tokens, d]: [usize; 4], context: usize, backward: bool) -> Row {
    // As models lay it out: the heads of a token side by side.
    let heads_of = move |tokens| random([batch, tokens, heads, d]).swap_dims(1, 2);
    let inputs = [heads_of(tokens), heads_of(context), heads_of(context)];
    type Attend = fn(Tensor<4>, Tensor<4>, Tensor<4>) -> Tensor<4>;
    let run = move |attend: Attend| {
        let [query, key, value] = inputs.clone();
        if !backward {
            return drop(attend(query, key, value));
        }
        let leaf = |x: Tensor<4>| x.autodiff().require_grad();
        let (query, key, value) = (leaf(query), leaf(key), leaf(value));
        let grads = attend(query.clone(), key.clone(), value.clone()).sum().backward();
        drop((query.grad(&grads), key.grad(&grads), value.grad(&grads)));
    };
    let (passes, rows) = if backward { (3.5, 12.0) } else { (1.0, 2.0) };
    let name = format!("attention {batch}x{heads}x{tokens} to {context}, d {d}");
    let pairs = (batch * heads * tokens * context) as f64;
    let again = run.clone();
    Row {
        name: if backward { format!("{name}, train") } else { name },
        gflop: passes * 4.0 * pairs * d as f64 / 1e9,
        megabytes: megabytes(rows * (batch * heads * d * (tokens + context)) as f64),
        ours: Box::new(move || run(|query, key, value| dc_kernels::attention(query, key, value, false))),
        plain: Box::new(move || again(plain_attention)),
    }
}

fn group_norm_silu(shape: [usize; 4], backward: bool) -> Row {
    let norm = converted(GroupNormConfig::new(32, shape[1]).init(&Device::flex()));
    let own = norm.clone();
    let name = format!("group norm + silu {shape:?}");
    let ours = move |x| dc_kernels::group_norm_silu(&own, x, None);
    let plain = move |x| activation::silu(norm.forward(x));
    if backward { train(&name, shape, 12.0, ours, plain) } else { forward(&name, shape, 12.0, ours, plain) }
}

fn layer_norm(shape: [usize; 2], backward: bool) -> Row {
    let (gamma, beta) = (random([shape[1]]), random([shape[1]]));
    let (own_gamma, own_beta) = (gamma.clone(), beta.clone());
    let name = format!("layer norm {shape:?}");
    let ours = move |x| dc_kernels::layer_norm(x, own_gamma.clone(), own_beta.clone(), 1e-5);
    let plain = move |x| module::layer_norm(x, gamma.clone(), Some(beta.clone()), 1e-5);
    if backward { train(&name, shape, 8.0, ours, plain) } else { forward(&name, shape, 8.0, ours, plain) }
}

fn geglu(shape: [usize; 2], backward: bool) -> Row {
    let half = shape[1] / 2;
    let plain = move |x: Tensor<2>| x.clone().narrow(1, 0, half) * activation::gelu(x.narrow(1, half, half));
    let name = format!("geglu {shape:?}");
    if backward {
        train(&name, shape, 15.0, dc_kernels::geglu, plain)
    } else {
        forward(&name, shape, 15.0, dc_kernels::geglu, plain)
    }
}

/// A layer, with the gradients of its input and parameters where it is trained.
fn layer<M: Module + 'static, const D: usize>(
    name: String,
    layer: M,
    shape: [usize; D],
    [gflop, values]: [f64; 2],
    backward: bool,
    [ours, plain]: [fn(&M, Tensor<D>) -> Tensor<D>; 2],
) -> Row {
    let (layer, x) = (converted(layer), random(shape));
    let (own_layer, own_x) = (layer.clone(), x.clone());
    let run = move |layer: &M, x: &Tensor<D>, f: fn(&M, Tensor<D>) -> Tensor<D>| {
        if !backward {
            return drop(f(layer, x.clone()));
        }
        let (layer, x) = (layer.clone().train(), x.clone().autodiff().require_grad());
        drop(f(&layer, x).sum().backward());
    };
    let passes = if backward { 3.0 } else { 1.0 };
    Row {
        name: if backward { format!("{name}, train") } else { name },
        gflop: passes * gflop / 1e9,
        megabytes: megabytes(passes * values),
        ours: Box::new(move || run(&own_layer, &own_x, ours)),
        plain: Box::new(move || run(&layer, &x, plain)),
    }
}

/// A convolution of a `[batch, channels, height, width]`.
fn conv([kernel, stride]: [usize; 2], shape: [usize; 4], out_channels: usize, backward: bool) -> Row {
    let padding = kernel / 2;
    let layer_of = Conv2dConfig::new([shape[1], out_channels], [kernel; 2])
        .with_stride([stride; 2])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .init(&Device::flex());
    let count = shape.iter().product::<usize>() as f64;
    let outputs = count / shape[1] as f64 / (stride * stride) as f64 * out_channels as f64;
    let weights = (shape[1] * out_channels * kernel * kernel) as f64;
    let name = format!("conv {kernel}x{kernel}/{stride} {shape:?} to {out_channels}");
    let cost = [2.0 * outputs * weights / out_channels as f64, count + outputs + weights];
    layer(name, layer_of, shape, cost, backward, [dc_kernels::conv2d, |conv, x| conv.forward(x)])
}

/// A linear layer on `[rows, d_input]`.
fn linear(shape: [usize; 2], d_output: usize, backward: bool) -> Row {
    let mut layer_of = LinearConfig::new(shape[1], d_output).init(&Device::flex());
    // Stored as in models: the inputs of an output side by side.
    let weight = random([d_output, shape[1]]).transpose();
    layer_of.weight = layer_of.weight.map(|_| weight);
    let [rows, d_input] = shape.map(|size| size as f64);
    let width = d_output as f64;
    let cost = [2.0 * rows * d_input * width, rows * (d_input + width) + d_input * width];
    let name = format!("linear {shape:?} to {d_output}");
    layer(name, layer_of, shape, cost, backward, [dc_kernels::linear, |linear, x| linear.forward(x)])
}

fn rows() -> Vec<Row> {
    let map = [1, 320, 64, 64];
    let scores = [8, 1024, 1024];
    vec![
        group_norm_silu(map, false),
        group_norm_silu([1, 128, 512, 512], false),
        group_norm_silu([16, 64, 32, 32], true),
        forward(&format!("silu {map:?}"), map, 20.0, dc_kernels::silu, activation::silu),
        train("silu [16, 64, 32, 32]", [16, 64, 32, 32], 20.0, dc_kernels::silu, activation::silu),
        forward("gelu [4096, 1280]", [4096, 1280], 30.0, dc_kernels::gelu, activation::gelu),
        forward("quick gelu [77, 3072]", [77, 3072], 20.0, dc_kernels::quick_gelu, |x| {
            x.clone() * activation::sigmoid(x * 1.702)
        }),
        geglu([4096, 2560], false),
        geglu([4096, 512], true),
        forward(&format!("softmax {scores:?}"), scores, 20.0, dc_kernels::softmax, |x| activation::softmax(x, 2)),
        train("softmax [64, 256, 256]", [64, 256, 256], 20.0, dc_kernels::softmax, |x| activation::softmax(x, 2)),
        layer_norm([4096, 320], false),
        layer_norm([4096, 128], true),
        attention([1, 8, 4096, 40], 4096, false),
        attention([1, 8, 1024, 80], 1024, false),
        attention([1, 8, 256, 160], 256, false),
        attention([1, 8, 4096, 40], 77, false),
        attention([1, 1, 4096, 512], 4096, false),
        attention([16, 4, 256, 16], 256, true),
        attention([16, 4, 256, 32], 256, true),
        attention([16, 4, 256, 32], 77, true),
        conv([3, 1], [1, 320, 64, 64], 320, false),
        conv([3, 1], [1, 640, 32, 32], 640, false),
        conv([3, 1], [1, 1280, 16, 16], 1280, false),
        conv([3, 1], [1, 1280, 8, 8], 1280, false),
        conv([3, 1], [1, 512, 64, 64], 512, false),
        conv([3, 1], [1, 128, 512, 512], 128, false),
        conv([1, 1], [1, 640, 64, 64], 320, false),
        conv([3, 1], [16, 4, 32, 32], 64, true),
        conv([3, 1], [16, 32, 64, 64], 32, true),
        conv([3, 1], [16, 64, 64, 64], 64, true),
        conv([3, 2], [16, 64, 64, 64], 64, true),
        conv([3, 1], [16, 96, 32, 32], 96, true),
        conv([3, 1], [16, 128, 16, 16], 128, true),
        conv([3, 1], [64, 128, 8, 8], 128, true),
        conv([3, 1], [64, 128, 4, 4], 128, true),
        conv([1, 1], [16, 128, 32, 32], 64, true),
        linear([4096, 320], 320, false),
        linear([1024, 640], 640, false),
        linear([256, 1280], 1280, false),
        linear([4096, 320], 2560, false),
        linear([77, 768], 768, false),
        linear([77, 768], 3072, false),
        linear([64, 1280], 1280, false),
        linear([4096, 128], 128, true),
        linear([4096, 128], 1024, true),
    ]
}

/// PyTorch in a process of its own, that computes a row once when it is told its name and answers with milliseconds.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str, threads: usize, clock: Clock) -> std::io::Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/kernels_torch.py");
        let mut command = Command::new(python);
        command
            .arg(script)
            .arg(threads.to_string())
            .arg(format!("{clock:?}"))
            .arg(format!("{:?}", dtype()))
            .arg(TURN.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn time(&mut self, name: &str) -> Option<f64> {
        writeln!(self.input, "{name}").ok()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).ok()?;
        // Its threads go on looking for work for a while.
        std::thread::sleep(Duration::from_millis(30));
        answer.trim().parse().ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Milliseconds of the work, repeated as often as fits into a turn.
fn turn(clock: Clock, repeats: &mut usize, work: &mut dyn FnMut()) -> f64 {
    if *repeats == 0 {
        work();
        *repeats = (TURN / time(Clock::Wall, work)).ceil() as usize;
    }
    time(clock, &mut || (0..*repeats).for_each(|_| work())) / *repeats as f64
}

/// Milliseconds that the work takes, or that all threads compute in the meantime.
fn time(clock: Clock, work: &mut dyn FnMut()) -> f64 {
    match clock {
        Clock::Wall => {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1e3
        }
        Clock::Processor => {
            let began = processor_time();
            work();
            processor_time() - began
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    Wall,
    Processor,
}

/// Milliseconds computed by all threads so far, from Linux's scheduler.
fn processor_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the processor clock is for Linux");
    let nanoseconds = tasks.filter_map(|task| {
        let statistics = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e6
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    // SAFETY: sets a number: `mi_option_purge_decommits`, as the program does.
    unsafe { libmimalloc_sys::mi_option_set_default(5, 0) };
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(all);
    let clock = match std::env::var("DC_GRAPH_BENCH_CLOCK").as_deref() {
        Err(_) | Ok("wall") => Clock::Wall,
        Ok("processor") => Clock::Processor,
        Ok(other) => panic!("DC_GRAPH_BENCH_CLOCK is `wall` or `processor`, found `{other}`"),
    };
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut peer = std::env::var("DC_GRAPH_BENCH_PYTHON").ok().map(|python| {
        Peer::start(&python, threads, clock).unwrap_or_else(|e| panic!("DC_GRAPH_BENCH_PYTHON={python}: {e}"))
    });
    println!(
        "{threads} threads, {:?}, vectors: {:?}, clock: {clock:?}; medians of {ROUNDS} in ms\n",
        dtype(),
        dc_kernels::Level::for_products_of(dtype())
    );
    println!("| operation | ours | Burn | PyTorch | ours / Burn | ours / PyTorch | GFLOP/s | GB/s |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for mut row in rows() {
        if dtype() != DType::F32 && row.name.ends_with("train") {
            continue;
        }
        if !wanted.is_empty() && !wanted.iter().any(|word| row.name.contains(word.as_str())) {
            continue;
        }
        let [mut ours, mut plain, mut torch] = [const { Vec::new() }; 3];
        let [mut our_repeats, mut plain_repeats] = [0; 2];
        for round in 0..=ROUNDS {
            let times = [turn(clock, &mut our_repeats, &mut row.ours), turn(clock, &mut plain_repeats, &mut row.plain)];
            let other = peer.as_mut().map(|peer| peer.time(&row.name).unwrap_or(f64::NAN));
            // The first one warms up.
            if round > 0 {
                ours.push(times[0]);
                plain.push(times[1]);
                torch.extend(other);
            }
        }
        let (ours, plain) = (median(&mut ours), median(&mut plain));
        let torch = if torch.is_empty() { f64::NAN } else { median(&mut torch) };
        // The processor clock does not see what ends before the scheduler looks.
        let ratio =
            |other: f64| if other.is_nan() || other == 0.0 { "-".into() } else { format!("{:.2}", ours / other) };
        println!(
            "| {} | {ours:.2} | {plain:.2} | {torch:.2} | {} | {} | {:.0} | {:.1} |",
            row.name,
            ratio(plain),
            ratio(torch),
            row.gflop / ours * 1e3,
            row.megabytes / ours,
        );
    }
}
