// Prints the licences of every package whose source is in a bundle, as its source map names them. Packages that share
// a text are listed above it together. Called by ./refresh: node licences.mjs NODE_MODULES MAP
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const [modules, map] = process.argv.slice(2);
// What is in a bundle and in no map: the packages around it, and the font of the styles.
const named = new Set(["graphiql", "react", "react-dom", "@fontsource/fira-code"]);

// GraphiQL's own repository has its packages in other directories than their names.
const ownName = (directory) => directory.replace(/^graphiql-/, "@graphiql/");

for (const source of JSON.parse(readFileSync(join(modules, map), "utf8")).sources) {
  const installed = source.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/);
  const sibling = source.match(/^\.\.\/\.\.\/([^/.]+)\//);
  if (installed) named.add(installed[1]);
  else if (sibling) named.add(ownName(sibling[1]));
}

const byText = new Map();
for (const name of [...named].sort()) {
  const directory = findPackage(name);
  const { version, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const file = readdirSync(directory).find((file) => /^(licen[cs]e|copying)/i.test(file));
  const text = file ? readFileSync(join(directory, file), "utf8") : `Its package holds no text; it says: ${license}`;
  const key = text.replaceAll("\r", "").trim();
  byText.set(key, [...(byText.get(key) ?? []), `${name} ${version} (${license})`]);
}

console.log("The explorer's files (graphiql.min.js, graphiql.min.css, react*.min.js) hold these packages. The styles also");
console.log("hold the font Roboto, Copyright 2011 Google Inc., Apache-2.0; that licence's text is below.");
for (const [text, packages] of byText) {
  console.log(`\n${"=".repeat(100)}\n${packages.join("\n")}\n${"-".repeat(100)}\n${text}`);
}

// At the top, or below the package that needs a version of its own.
function findPackage(name) {
  const top = join(modules, name);
  if (existsSync(join(top, "package.json"))) return top;
  const nested = readdirSync(modules, { recursive: true }).find((path) =>
    path.endsWith(`node_modules/${name}/package.json`),
  );
  if (!nested) throw new Error(`${name} is in the bundle and is not installed`);
  return join(modules, dirname(nested));
}
