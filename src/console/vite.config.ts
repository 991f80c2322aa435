import { brotliCompressSync, constants, gzipSync } from "node:zlib";
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
      handler(_, bundle) {
        for (const file of Object.values(bundle)) {
          const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (source.length < 1024) continue;
          const emit = (ending: string, bytes: Uint8Array) =>
            this.emitFile({ type: "asset", fileName: `${file.fileName}.${ending}`, source: bytes });
          emit("gz", gzipSync(source, { level: 9 }));
          const quality = { [constants.BROTLI_PARAM_QUALITY]: 11 };
          emit("br", brotliCompressSync(source, { params: quality }));
        }
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
