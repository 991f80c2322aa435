import { backends } from "./backends.ts";
import { sessionRecordStoreContract } from "./session-record-store.ts";

for (const backend of backends) sessionRecordStoreContract(backend);
