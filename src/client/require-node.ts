import { nodeProblem } from "./node-version.ts";

// The first import of the library: what comes after it may use what old releases of Node.js do not have.
const problem = nodeProblem(process.versions.node);
if (problem !== undefined) throw new Error(problem);
