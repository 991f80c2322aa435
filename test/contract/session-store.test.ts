import { backends } from "./backends.ts";
import { sessionStoreContract } from "./session-store.ts";

for (const backend of backends) sessionStoreContract(backend);
