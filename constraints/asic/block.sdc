# Timing constraints of a block on standard cells, for OpenSTA, OpenROAD and others that read SDC. Times in ns: where
# the library counts in another unit, set the period in that one.

# The period is a parameter: set it before this file is read. The value here is somewhere to start from.
if {![info exists period]} { set period $period_ns }

create_clock -name clk -period $$period [get_ports clk]

# A fifth of the period is left to what is outside of the ports, on either side.
set_input_delay -clock clk [expr {0.2 * $$period}] [get_ports {$inputs}]
set_output_delay -clock clk [expr {0.2 * $$period}] [get_ports {$outputs}]

# Driving cell and load belong to a library; those the project's own figures are made with (Nangate 45 nm):
#   set_driving_cell -lib_cell BUF_X1 [all_inputs]
#   set_load 3.898 [all_outputs]
