import { backends } from "./backends.ts";
import { sessionFileStoreContract } from "./session-file-store.ts";

for (const backend of backends) sessionFileStoreContract(backend);
