// Bundles the front end into webui/assets/dist: files with a hash of their content in the name, each also gzipped, and
// manifest.json, from which the Go side knows the names.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname;
const dist = join(here, "..", "assets", "dist");

// The pictures that the templates use, from bootstrap-icons.
const icons = ["arrow-clockwise", "arrow-down", "clipboard", "download", "eye", "file-earmark", "folder", "pause-fill", "person", "play-fill", "plus-lg",
  "pencil", "stop-fill", "three-dots", "trash", "upload"];

await mkdir(dist, { recursive: true });
for (const old of await readdir(dist)) {
  if (old !== ".gitkeep") await rm(join(dist, old), { recursive: true });
}

const bundled = await build({
  entryPoints: [join(here, "src/app.ts"), join(here, "src/theme.ts"), join(here, "src/app.css")],
  bundle: true,
  minify: true,
  target: ["es2022"],
  entryNames: "[name]-[hash]",
  outdir: dist,
  write: false,
  logLevel: "info",
});

const manifest = {};
const hashed = /-[^-]*(\.\w+)$/;
for (const file of bundled.outputFiles) {
  const name = basename(file.path);
  manifest[name.replace(hashed, "$1")] = name;
  await save(name, file.contents);
}

const symbols = await Promise.all(icons.map(async (name) => {
  const svg = await readFile(join(here, "node_modules/bootstrap-icons/icons", `${name}.svg`), "utf8");
  const body = svg.slice(svg.indexOf(">") + 1, svg.lastIndexOf("</svg>")).trim();
  return `<symbol id="${name}" viewBox="0 0 16 16" fill="currentColor">${body}</symbol>`;
}));
const sprite = `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
const spriteName = `icons-${createHash("sha256").update(sprite).digest("hex").slice(0, 8).toUpperCase()}.svg`;
manifest["icons.svg"] = spriteName;
await save(spriteName, Buffer.from(sprite));

await writeFile(join(dist, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");

async function save(name, contents) {
  await writeFile(join(dist, name), contents);
  const zipped = gzipSync(contents, { level: 9 });
  if (zipped.length < contents.length) await writeFile(join(dist, `${name}.gz`), zipped);
}
