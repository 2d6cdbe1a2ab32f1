//! Stateless resets: a packet of a connection that nobody knows is answered with a word that only who made the
//! connection, or whoever has its key, can say. A broker that was killed and started again so tells its clients at once;
//! they would else wait for a silence to be long enough.

use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

/// Random: chosen anew for each connection, long enough that none is guessed or given twice.
const CONNECTION_ID_BYTES: usize = 8;

pub(super) fn endpoint_config(reset_key: [u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(reset_key)));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// A hash over key and identifier; of the result only a part is told, so nothing can be added to what was hashed.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn signed(&self, data: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.0).chain_update(data).finalize().into()
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let signed = self.signed(data);
        let length = signature_out.len().min(signed.len());
        signature_out[..length].copy_from_slice(&signed[..length]);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Every byte is looked at, whatever the first ones say.
        let signed = self.signed(data);
        let differs = signed.iter().zip(signature).fold(0, |differs, (one, other)| differs | (one ^ other));
        if signature.len() == signed.len() && differs == 0 { Ok(()) } else { Err(CryptoError) }
    }
}

/// The usual generator takes identifiers of another process for forged and answers nothing.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CONNECTION_ID_BYTES];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
