// Prompt Wildcards: a prompt with choices in it becomes a prompt. The seed decides what is chosen.

import { uniform } from "dc-graph:node/random@0.1.0";

const input = (name, portType, description, more) => ({
  name, portType, description, required: false, choices: [], ...more,
});

const text = (val) => ({ tag: "text", val });

// Lists of words by name, one a line: `colour: red, green, blue`.
function parseLists(lines) {
  const lists = new Map();
  for (const line of lines.split("\n").filter((line) => line.trim())) {
    const [name, words] = line.split(/:(.*)/s);
    if (words === undefined) {
      throw { message: `expected \`name: word, word\`, found \`${line.trim()}\``, input: "lists" };
    }
    lists.set(name.trim(), words.split(",").map((word) => word.trim()));
  }
  return lists;
}

// One of the options, each with its weight.
function pick(options) {
  let at = uniform() * options.reduce((sum, option) => sum + option.weight, 0);
  for (const option of options) {
    at -= option.weight;
    if (at < 0) return option;
  }
  return options[options.length - 1];
}

// The parts between `|` that stand in no inner braces.
function split(words) {
  const parts = [""];
  let depth = 0;
  for (const letter of words) {
    depth += letter === "{" ? 1 : letter === "}" ? -1 : 0;
    if (letter === "|" && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

// `2$$a|b|c` takes two different ones, joined by commas; `3::a|b` takes `a` three times as often as `b`.
function choose(words, lists) {
  const [, count, rest] = words.match(/^(?:(\d+)\$\$)?(.*)$/s);
  let options = split(rest).map((part) => {
    const [, weight, words] = part.match(/^(?:(\d+(?:\.\d+)?)::)?(.*)$/s);
    return { weight: weight === undefined ? 1 : Number(weight), words };
  });
  const chosen = [];
  for (let i = 0; i < Number(count ?? 1) && options.length > 0; i++) {
    const option = pick(options);
    options = options.filter((other) => other !== option);
    chosen.push(expand(option.words, lists));
  }
  return chosen.join(", ");
}

// Replaces `{a|b}` and `__name__`, from left to right.
function expand(template, lists) {
  let out = "";
  for (let i = 0; i < template.length; i++) {
    if (template[i] === "{") {
      let depth = 1;
      let end = i + 1;
      for (; end < template.length && depth > 0; end++) {
        depth += template[end] === "{" ? 1 : template[end] === "}" ? -1 : 0;
      }
      if (depth > 0) throw { message: `a \`{\` without \`}\`: \`${template.slice(i)}\``, input: "template" };
      out += choose(template.slice(i + 1, end - 1), lists);
      i = end - 1;
      continue;
    }
    const name = template.slice(i).match(/^__([A-Za-z0-9-]+)__/);
    if (name) {
      const words = lists.get(name[1]);
      if (words === undefined) {
        const hint = lists.size ? `\`lists\` has ${[...lists.keys()].join(", ")}` : `add a line \`${name[1]}: word, word\` to \`lists\``;
        throw { message: `there is no list \`${name[1]}\``, input: "template", hint };
      }
      out += pick(words.map((word) => ({ weight: 1, word }))).word;
      i += name[0].length - 1;
      continue;
    }
    out += template[i];
  }
  return out;
}

export const nodes = {
  describe: () => [{
    typeName: "Prompt Wildcards",
    category: "text",
    description: "Chooses among the alternatives in a prompt. `{red|green}` gives one of them, `{2$$a|b|c}` two, `{3::a|b}` prefers " +
      "the first, and `__colour__` gives a word of a list.",
    version: 1,
    deterministic: true,
    effect: false,
    inputs: [
      input("template", "core:text", "The prompt with alternatives; they may be nested", { required: true }),
      input("lists", "core:text", "Lists for `__name__`, one a line: `colour: red, green, blue`", { defaultValue: text("") }),
      input("seed", "core:integer", "Another number chooses differently", { defaultValue: { tag: "integer", val: 0 } }),
    ],
    outputs: [{ name: "text", portType: "core:text", description: "The prompt" }],
  }],

  // The host reads `seed` and starts the random numbers from it.
  run(node, inputs) {
    const value = (name) => inputs.find((input) => input.name === name).value.val;
    return [{ name: "text", value: text(expand(value("template"), parseLists(value("lists")))) }];
  },
};
