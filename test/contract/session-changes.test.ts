import { backends } from "./backends.ts";
import { sessionChangesContract } from "./session-changes.ts";

for (const backend of backends) sessionChangesContract(backend);
