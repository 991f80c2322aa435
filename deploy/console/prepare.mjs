/**
 * Builds the pages when the dependencies of a checkout are installed, so that `npm ci` is all that it takes. An
 * installation without development dependencies has no Vite; it brings the built files along, or does without them.
 * Plain JavaScript, because the Node.js of such an installation may be too old to say more than that it is.
 */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../src/console", import.meta.url));

// Otherwise it may be the React for development, which is twice as large.
process.env.NODE_ENV = "production";
const vite = await import("vite").catch(() => undefined);
await vite?.build({ root, logLevel: "warn" });
