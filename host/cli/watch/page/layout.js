// Where the nodes of a graph go: layers by the longest way from a source (Sugiyama, Tagawa and Toda, 1981), links that pass
// layers bent at a place of their own in each, few crossings by the mean of neighbours, straight lines as far as there is
// room. Knows no page: numbers in, numbers out.

/** Places for `count` nodes with `links` ([from, to]) and the size of it all. `down` goes from top to bottom, else from left
 * to right. Gives `{ nodes: [{x, y}], links: [{from, to, points: [{x, y}]}], width, height }`, x and y of centres. */
export function layout(count, links, { width, height, gapAlong, gapAcross, down }) {
  const layer = layersOf(count, links);
  // Cells: nodes first, then the bends of long links.
  const cells = layer.map((at, node) => ({ layer: at, node, before: [], after: [], across: 0 }));
  const ways = links.map(([from, to]) => {
    const way = [from];
    for (let at = layer[from] + 1; at < layer[to]; at++) {
      way.push(cells.length);
      cells.push({ layer: at, node: -1, before: [], after: [], across: 0 });
    }
    way.push(to);
    for (let i = 1; i < way.length; i++) {
      cells[way[i - 1]].after.push(way[i]);
      cells[way[i]].before.push(way[i - 1]);
    }
    return way;
  });
  const rows = [];
  cells.forEach((cell, index) => (rows[cell.layer] ??= []).push(index));
  order(rows, cells);
  const size = down ? width : height;
  place(rows, cells, size, gapAcross);
  const depth = down ? height : width;
  const along = at => at * (depth + gapAlong) + depth / 2;
  let least = Infinity, most = -Infinity;
  for (const cell of cells) {
    const half = extent(cell, size) / 2;
    least = Math.min(least, cell.across - half);
    most = Math.max(most, cell.across + half);
  }
  const point = index => {
    const [a, b] = [along(cells[index].layer), cells[index].across - least];
    return down ? { x: b, y: a } : { x: a, y: b };
  };
  const long = rows.length * (depth + gapAlong) - gapAlong, wide = most - least;
  return {
    nodes: Array.from({ length: count }, (_, node) => point(node)),
    links: links.map(([from, to], index) => ({ from, to, points: ways[index].map(point) })),
    width: count ? (down ? wide : long) : 0,
    height: count ? (down ? long : wide) : 0,
  };
}

function layersOf(count, links) {
  const layer = Array(count).fill(0), open = Array(count).fill(0), after = Array.from({ length: count }, () => []);
  for (const [from, to] of links) {
    after[from].push(to);
    open[to]++;
  }
  const ready = open.flatMap((links, node) => (links ? [] : [node]));
  while (ready.length) {
    const node = ready.pop();
    for (const next of after[node]) {
      layer[next] = Math.max(layer[next], layer[node] + 1);
      if (--open[next] === 0) ready.push(next);
    }
  }
  // A source stands right before the first one that reads it.
  for (let node = 0; node < count; node++) {
    if (after[node].length && !links.some(([, to]) => to === node)) {
      layer[node] = Math.min(...after[node].map(next => layer[next])) - 1;
    }
  }
  return layer;
}

function order(rows, cells) {
  const rank = [];
  const note = row => row.forEach((cell, at) => (rank[cell] = at));
  rows.forEach(note);
  for (let pass = 0; pass < 12; pass++) {
    const onwards = pass % 2 === 0;
    for (const row of onwards ? rows : [...rows].reverse()) {
      const mean = cell => {
        const near = onwards ? cells[cell].before : cells[cell].after;
        return near.length ? near.reduce((sum, other) => sum + rank[other], 0) / near.length : rank[cell];
      };
      const means = new Map(row.map(cell => [cell, mean(cell)]));
      row.sort((a, b) => means.get(a) - means.get(b) || rank[a] - rank[b]);
      note(row);
    }
  }
}

/** A bend needs less room than a node. */
const extent = (cell, size) => (cell.node < 0 ? size / 6 : size);

function place(rows, cells, size, gap) {
  const apart = (a, b) => (extent(cells[a], size) + extent(cells[b], size)) / 2 + gap;
  for (const row of rows) {
    row.forEach((cell, at) => (cells[cell].across = at ? cells[row[at - 1]].across + apart(row[at - 1], cell) : 0));
    const middle = (cells[row[0]].across + cells[row.at(-1)].across) / 2;
    row.forEach(cell => (cells[cell].across -= middle));
  }
  for (let pass = 0; pass < 16; pass++) {
    for (const row of pass % 2 ? [...rows].reverse() : rows) {
      const wish = row.map(cell => {
        const { before, after, across } = cells[cell];
        const near = [...before, ...after];
        return near.length ? near.reduce((sum, other) => sum + cells[other].across, 0) / near.length : across;
      });
      // Pushed apart from the left and from the right; the mean of both keeps the order and the distances.
      const right = [], left = [];
      wish.forEach((at, i) => (right[i] = i ? Math.max(at, right[i - 1] + apart(row[i - 1], row[i])) : at));
      for (let i = row.length - 1; i >= 0; i--) {
        left[i] = i < row.length - 1 ? Math.min(wish[i], left[i + 1] - apart(row[i], row[i + 1])) : wish[i];
      }
      row.forEach((cell, i) => (cells[cell].across = (right[i] + left[i]) / 2));
    }
  }
}
