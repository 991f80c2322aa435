import { backends } from "./backends.ts";
import { censusContract } from "./census.ts";
import { replicaStoreContract } from "./replica-store.ts";

for (const backend of backends) {
  replicaStoreContract(backend);
  censusContract(backend);
}
