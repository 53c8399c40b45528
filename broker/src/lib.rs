//! Open iSCP broker.
