import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Compresses each file once, when it is built, as well as it goes. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    enforce: "post",
    generateBundle: {
      order: "post",
      async handler(_, bundle) {
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
        const compress = async (file: (typeof bundle)[string]) => {
          const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (source.length < 1024) return;
          const [gz, br] = await Promise.all([
            promisify(gzip)(source, { level: 9 }),
            promisify(brotliCompress)(source, { params }),
          ]);
          this.emitFile({ type: "asset", fileName: `${file.fileName}.gz`, source: gz });
          this.emitFile({ type: "asset", fileName: `${file.fileName}.br`, source: br });
        };
        await Promise.all(Object.values(bundle).map(compress));
      },
    },
  };
}

/** The pages: `npm run console` builds them into dist/console, from where src/server/pages.ts serves them. */
export default defineConfig({
  root: import.meta.dirname,
  base: "/console/",
  plugins: [react(), compressed()],
  build: {
    outDir: "../../dist/console",
    emptyOutDir: true,
    target: "es2023",
    // A strict Content-Security-Policy: nothing is inline.
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: ["index.html", "docs.html", "welcome.html"].map((name) => `${import.meta.dirname}/${name}`),
    },
    // The limit of the first view is 200 kB, compressed.
    chunkSizeWarningLimit: 1_600,
    modulePreload: { polyfill: false },
  },
  // `npx vite src/console` while the service runs at its default address.
  server: { proxy: { "^/(?!console/)": { target: "http://127.0.0.1:8080" } } },
});
