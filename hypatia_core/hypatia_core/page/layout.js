// A layered drawing of a program: which nodes are shown, on which row each stands, and where in it.
// Rows by longest path, order by medians of neighbours, positions by isotonic regression of the neighbours' means.

/** The nodes to draw, each with its neighbours; of folded layers the first stands for all. */
function shown(program, unfolded) {
  const folds = unfolded ? [] : program.folds;
  const representative = (i) => {
    const fold = folds.find((f) => i >= f.start && i < f.start + f.period * f.count);
    return fold ? fold.start + ((i - fold.start) % fold.period) : i;
  };
  // What depends on weights alone is listed at the node that uses it, unless it changed.
  const constant = [];
  program.nodes.forEach((node, i) => {
    const still = computes(node) && node.fate === "kept" && node.inputs.length > 0 && node.inputs.every((j) => constant[j]);
    constant[i] = node.op === "weight" || (still && !moves(node));
  });
  const vertices = new Map();
  const vertex = (i) => vertices.get(i);
  program.nodes.forEach((node, i) => {
    if (constant[i] || representative(i) !== i) return;
    vertices.set(i, { id: i, node, above: [], below: [], weights: [] });
  });
  program.nodes.forEach((node, i) => {
    const user = vertex(representative(i));
    if (!user || constant[i]) return;
    for (const j of node.inputs) {
      if (constant[j]) {
        if (representative(i) === i) user.weights.push(program.nodes[j].name);
        continue;
      }
      const source = vertex(representative(j));
      // An edge from one repetition to the next would close a circle.
      if (source && source.id < user.id && !user.above.includes(source)) {
        user.above.push(source);
        source.below.push(user);
      }
    }
  });
  for (const [id, v] of vertices) if (v.node.op === "input" && v.below.length === 0) vertices.delete(id);
  const frames = folds.map((fold) => ({
    fold,
    members: [...vertices.values()].filter((v) => v.id >= fold.start && v.id < fold.start + fold.period),
  }));
  return { vertices: [...vertices.values()], frames, representative };
}

/** Rows of vertices, with a bend for each row that an edge passes. */
function rows(vertices) {
  for (const v of vertices) v.row = Math.max(-1, ...v.above.map((u) => u.row)) + 1;
  for (const v of [...vertices].reverse()) {
    if (v.above.length === 0 && v.below.length) v.row = Math.max(0, Math.min(...v.below.map((u) => u.row)) - 1);
  }
  const layers = [];
  const put = (v) => (layers[v.row] ??= []).push(v);
  vertices.forEach(put);
  const edges = [];
  for (const v of vertices) {
    v.up = []; v.down = [];
  }
  for (const v of vertices) {
    for (const u of v.above) {
      const points = [u];
      for (let row = u.row + 1; row < v.row; row++) {
        const bend = { bend: true, row, width: 6, height: 0, up: [], down: [] };
        put(bend);
        points.push(bend);
      }
      points.push(v);
      for (let k = 1; k < points.length; k++) {
        points[k].up.push(points[k - 1]);
        points[k - 1].down.push(points[k]);
      }
      edges.push(points);
    }
  }
  for (let row = 0; row < layers.length; row++) layers[row] ??= [];
  return { layers, edges };
}

function order(layers) {
  const median = (values) => {
    values.sort((a, b) => a - b);
    const middle = values.length >> 1;
    return values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  };
  layers.forEach((layer) => layer.forEach((v, i) => (v.place = i)));
  for (let sweep = 0; sweep < 8; sweep++) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      for (const v of layer) {
        const near = down ? v.up : v.down;
        v.wish = near.length ? median(near.map((u) => u.place)) : v.place;
      }
      layer.sort((a, b) => a.wish - b.wish || a.place - b.place);
      layer.forEach((v, i) => (v.place = i));
    }
  }
}

/** Positions nearest to the wishes that keep the order and the distances: pooled adjacent violators. */
function settle(layer) {
  const gap = 16;
  let offset = 0;
  const pools = [];
  layer.forEach((v, i) => {
    if (i) offset += (layer[i - 1].width + v.width) / 2 + gap;
    v.offset = offset;
    const weight = v.bend ? 3 : 1; // bends drawn straight are what the eye follows
    pools.push({ sum: (v.wish - offset) * weight, weight, members: [v] });
    while (pools.length > 1) {
      const [a, b] = pools.slice(-2);
      if (a.sum / a.weight <= b.sum / b.weight) break;
      pools.splice(-2, 2, { sum: a.sum + b.sum, weight: a.weight + b.weight, members: [...a.members, ...b.members] });
    }
  });
  for (const pool of pools) for (const v of pool.members) v.x = pool.sum / pool.weight + v.offset;
}

function place(layers) {
  const mean = (list) => list.reduce((sum, u) => sum + u.x, 0) / list.length;
  for (const layer of layers) {
    layer.forEach((v) => (v.wish = 0));
    settle(layer);
  }
  for (let sweep = 0; sweep < 14; sweep++) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      for (const v of layer) {
        const near = down ? v.up : v.down;
        const other = down ? v.down : v.up;
        v.wish = near.length ? mean(near) : other.length ? mean(other) : v.x;
      }
      settle(layer);
    }
  }
  let y = 0;
  for (const layer of layers) {
    const height = Math.max(14, ...layer.map((v) => v.height));
    for (const v of layer) v.y = y + height / 2;
    y += height + 24;
  }
}

/** The whole drawing: vertices with x, y, width and height, edges as points, frames of folded layers. */
function layout(program, unfolded) {
  const { vertices, frames, representative } = shown(program, unfolded);
  for (const v of vertices) {
    v.small = computes(v.node) && !moves(v.node);
    const type = v.node.type.split(", ").length > 9 ? "" : v.node.type;
    v.label = v.node.op === "input" ? v.node.name : v.node.op;
    v.type = v.small || v.node.op === "output" ? "" : shorter(type, 34);
    v.label = shorter(v.label, 34);
    v.width = Math.max(46, 7.6 * v.label.length + 20, 6.2 * v.type.length + 16);
    v.height = v.small ? 22 : v.type ? 40 : 28;
  }
  const { layers, edges } = rows(vertices);
  order(layers);
  place(layers);
  return { vertices, edges, frames, representative };
}

const shorter = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
